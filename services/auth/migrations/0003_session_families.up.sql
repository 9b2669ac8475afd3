-- compatible from: 0001
-- A session is a family of refresh tokens. Each client that goes on from a token that two have used has a branch of its
-- own; the session's row itself is branch 0, whose current token the release before knows as token_hash.
ALTER TABLE sessions
  ADD family_hash   bytea,        -- SHA-256 of the secret that all tokens of the family share; NULL: of a release before
  ADD current_hash  bytea,        -- token_hash as this release has set it; another one: a release before has refreshed
  ADD previous_hash bytea,        -- the token that was spent last
  ADD spend_time    timestamptz,  -- when it was spent
  ADD legacy_hash   bytea,        -- the token of a release before, by which the session is found once that is spent
  ADD last_branch   bigint NOT NULL DEFAULT 0,
  ADD device_name   text NOT NULL DEFAULT '',
  ADD address       text NOT NULL DEFAULT '';
CREATE UNIQUE INDEX sessions_by_legacy_hash ON sessions (legacy_hash) WHERE legacy_hash IS NOT NULL;

CREATE TABLE session_branches (
  session_id    uuid NOT NULL REFERENCES sessions ON DELETE CASCADE,
  number        bigint NOT NULL,
  token_hash    bytea NOT NULL,
  previous_hash bytea,
  use_time      timestamptz NOT NULL DEFAULT now(),  -- when previous_hash was spent
  PRIMARY KEY (session_id, number)
);

-- What has ended and whose access tokens may not have expired: one session, or all tokens of a user that are older than a
-- generation. `transaction` is the one that wrote the row, so that whoever reads again misses none that was committed
-- late.
CREATE TABLE endings (
  id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  transaction bigint NOT NULL DEFAULT pg_current_xact_id()::text::bigint,
  user_id     uuid NOT NULL,
  session_id  uuid,    -- NULL: the user's tokens
  generation  bigint,  -- of the user's tokens, the lowest that is still good; NULL with a session
  expire_time timestamptz NOT NULL
);
CREATE INDEX endings_by_transaction ON endings (transaction);
CREATE INDEX endings_by_expire_time ON endings (expire_time);
