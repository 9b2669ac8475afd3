CREATE TABLE things (
  id       uuid PRIMARY KEY,
  owner_id uuid NOT NULL,
  name     text NOT NULL,
  note     text NOT NULL,
  revision bigint NOT NULL DEFAULT 1,
  UNIQUE (owner_id, name)
);
CREATE INDEX things_by_note ON things (note);
CREATE TABLE labels (
  id       uuid PRIMARY KEY,
  thing_id uuid NOT NULL
);
