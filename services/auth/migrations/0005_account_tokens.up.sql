-- compatible from: 0001
-- Tokens that went out by mail, each for one purpose; only the SHA-256 of one is kept. `email` is the address that it went
-- to.
CREATE TABLE account_tokens (
  token_hash  bytea PRIMARY KEY,
  purpose     text NOT NULL CHECK (purpose IN ('reset_password')),
  user_id     uuid NOT NULL REFERENCES credentials ON DELETE CASCADE,
  email       text NOT NULL,
  create_time timestamptz NOT NULL DEFAULT now(),
  expire_time timestamptz NOT NULL,
  use_time    timestamptz
);
CREATE INDEX account_tokens_by_user ON account_tokens (user_id, purpose);
CREATE INDEX account_tokens_by_expire_time ON account_tokens (expire_time);
