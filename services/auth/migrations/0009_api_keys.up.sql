-- compatible from: 0001
-- Keys of programs, each for one account; only the SHA-256 of one is kept, and how it begins.
CREATE TABLE api_keys (
  id          uuid PRIMARY KEY,
  user_id     uuid NOT NULL REFERENCES credentials ON DELETE CASCADE,
  creator_id  uuid NOT NULL,  -- who has made it: the account itself, or an admin
  name        text NOT NULL,
  key_hash    bytea NOT NULL,
  key_prefix  text NOT NULL,
  create_time timestamptz NOT NULL DEFAULT now(),
  expire_time timestamptz,    -- NULL: it lasts until it is revoked
  use_time    timestamptz     -- its last use, to about a minute; NULL: none yet
);
CREATE UNIQUE INDEX api_keys_by_key_hash ON api_keys (key_hash);
CREATE INDEX api_keys_by_user ON api_keys (user_id);
CREATE INDEX api_keys_by_expire_time ON api_keys (expire_time);
