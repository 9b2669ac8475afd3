-- compatible from: 0001
-- Passkeys (W3C Web Authentication): the public halves of keys that browsers keep for their users.
CREATE TABLE passkeys (
  id            uuid PRIMARY KEY,
  user_id       uuid NOT NULL REFERENCES credentials ON DELETE CASCADE,
  credential_id bytea NOT NULL UNIQUE,
  public_key    bytea NOT NULL,   -- in libfido2's form for the algorithm
  algorithm     integer NOT NULL, -- of COSE
  sign_count    bigint NOT NULL,  -- how often the key was used, as its authenticator says; 0 for ever where it does not count
  transports    text[] NOT NULL,
  name          text NOT NULL,
  create_time   timestamptz NOT NULL DEFAULT now(),
  use_time      timestamptz
);
CREATE INDEX passkeys_by_user ON passkeys (user_id);

-- The challenges that were used, as long as they would be taken otherwise. A challenge is sealed and kept nowhere until
-- then, so that asking for one costs nothing.
CREATE TABLE spent_challenges (
  challenge_hash bytea PRIMARY KEY,
  expire_time    timestamptz NOT NULL
);
CREATE INDEX spent_challenges_by_expire_time ON spent_challenges (expire_time);
