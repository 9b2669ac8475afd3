CREATE TABLE users (
  id           uuid PRIMARY KEY,
  email        text NOT NULL CHECK (email <> ''),
  display_name text NOT NULL CHECK (display_name <> ''),
  -- Counts the changes; the etag.
  revision     bigint NOT NULL DEFAULT 1,
  create_time  timestamptz NOT NULL DEFAULT now(),
  update_time  timestamptz NOT NULL DEFAULT now()
);

CREATE UNIQUE INDEX users_email_key ON users (lower(email));
CREATE INDEX users_by_create_time ON users (create_time, id);

-- Credentials in the auth service that have no account here: of a sign-up that is under way or failed half-way, or of an account that
-- was deleted. Written before the credential is made, so that none can be forgotten; the sweep removes what is due.
CREATE TABLE orphan_credentials (
  user_id  uuid PRIMARY KEY,
  due_time timestamptz NOT NULL
);
CREATE INDEX orphan_credentials_by_due_time ON orphan_credentials (due_time);
