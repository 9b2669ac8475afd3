-- compatible from: 0001
-- Second factors. `factor_generation` says by which factors a login was judged: it grows with every change of them.
-- `has_factor` is the outcome of the tables below, kept here so that a login reads one row, and changes lock it.
-- `needs_factor`: the password is shorter than one that is the only factor may be.
ALTER TABLE credentials
  ADD factor_generation bigint NOT NULL DEFAULT 1,
  ADD has_factor        boolean NOT NULL DEFAULT false,
  ADD needs_factor      boolean NOT NULL DEFAULT false;

CREATE TABLE factors (
  id           uuid PRIMARY KEY,
  user_id      uuid NOT NULL REFERENCES credentials ON DELETE CASCADE,
  type         text NOT NULL CHECK (type IN ('totp')),
  secret       bytea NOT NULL,             -- sealed under the stored secret
  last_step    bigint NOT NULL DEFAULT 0,  -- of the code that was used last, and of all before it
  tries        bigint NOT NULL DEFAULT 0,  -- to confirm it
  create_time  timestamptz NOT NULL DEFAULT now(),
  confirm_time timestamptz,                -- NULL: nobody has shown a code of it yet
  use_time     timestamptz
);
CREATE INDEX factors_by_user ON factors (user_id);
CREATE UNIQUE INDEX factors_unconfirmed ON factors (user_id) WHERE confirm_time IS NULL;
CREATE INDEX factors_unconfirmed_by_time ON factors (create_time) WHERE confirm_time IS NULL;

CREATE TABLE recovery_codes (
  user_id   uuid NOT NULL REFERENCES credentials ON DELETE CASCADE,
  code_hash text NOT NULL,  -- hexadecimal
  PRIMARY KEY (user_id, code_hash)
);

-- Logins whose first proof was right and whose second one is awaited. Of its token only the SHA-256 is kept.
CREATE TABLE login_challenges (
  token_hash        bytea PRIMARY KEY,
  user_id           uuid NOT NULL REFERENCES credentials ON DELETE CASCADE,
  password_set_us   bigint NOT NULL,  -- which password was proven
  factor_generation bigint NOT NULL,
  account           text NOT NULL,    -- its name in limits and logs
  source            text NOT NULL,    -- whose tries it takes (factor_tries)
  try_interval_ms   bigint NOT NULL,  -- how often that gets one back
  device_id         bytea,            -- NULL: an unknown device
  device_name       text NOT NULL,
  tries             bigint NOT NULL DEFAULT 0,
  expire_time       timestamptz NOT NULL
);
CREATE INDEX login_challenges_by_user ON login_challenges (user_id);
CREATE INDEX login_challenges_by_expire_time ON login_challenges (expire_time);

-- The tries that were taken at an account's second factors, as a bucket: it is full again at full_time.
CREATE TABLE factor_tries (
  user_id   uuid NOT NULL REFERENCES credentials ON DELETE CASCADE,
  source    text NOT NULL,
  full_time timestamptz NOT NULL,
  PRIMARY KEY (user_id, source)
);
CREATE INDEX factor_tries_by_full_time ON factor_tries (full_time);

-- Devices that skip the second step, as long as password and factors stay what they were.
CREATE TABLE remembered_devices (
  user_id           uuid NOT NULL REFERENCES credentials ON DELETE CASCADE,
  device_id         bytea NOT NULL,
  password_set_us   bigint NOT NULL,
  factor_generation bigint NOT NULL,
  expire_time       timestamptz NOT NULL,
  PRIMARY KEY (user_id, device_id)
);
CREATE INDEX remembered_devices_by_expire_time ON remembered_devices (expire_time);
