CREATE TABLE things (
  id          uuid PRIMARY KEY,
  name        text NOT NULL,
  note        text,
  weight      integer,
  size        bigint NOT NULL,
  place       point,
  create_time timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX things_by_weight ON things (weight);
