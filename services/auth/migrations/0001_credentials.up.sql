-- How accounts prove who they are. The accounts themselves are the user service's; user_id is all that is shared.
CREATE TABLE credentials (
  user_id       uuid PRIMARY KEY,
  password_hash text NOT NULL,
  create_time   timestamptz NOT NULL DEFAULT now(),
  update_time   timestamptz NOT NULL DEFAULT now()
);

-- Beyond the role "user", which every account has.
CREATE TABLE roles (
  user_id uuid NOT NULL REFERENCES credentials ON DELETE CASCADE,
  role    text NOT NULL CHECK (role IN ('admin')),
  PRIMARY KEY (user_id, role)
);

-- One row a login; its refresh token changes with every use, and only the SHA-256 of the one that is valid is kept.
CREATE TABLE sessions (
  id          uuid PRIMARY KEY,
  user_id     uuid NOT NULL REFERENCES credentials ON DELETE CASCADE,
  token_hash  bytea NOT NULL,
  create_time timestamptz NOT NULL DEFAULT now(),
  use_time    timestamptz NOT NULL DEFAULT now(),
  expire_time timestamptz NOT NULL,
  CONSTRAINT sessions_token_hash_key UNIQUE (token_hash)
);
CREATE INDEX sessions_by_user ON sessions (user_id);
CREATE INDEX sessions_by_expire_time ON sessions (expire_time);

-- The keys of access tokens, private parts sealed under AUTH_KEY_SECRET.
CREATE TABLE signing_keys (
  kid         text PRIMARY KEY,
  sealed      bytea NOT NULL,
  create_time timestamptz NOT NULL DEFAULT now()
);
