-- compatible from: 0001
-- Service accounts: accounts of programs, which hold roles and API keys and have no password. Nobody signs in to one, so
-- there is nothing that the user service would know of it. An earlier release never looks for its password, because that
-- begins with an e-mail address.
ALTER TABLE credentials
  ALTER password_hash DROP NOT NULL,
  ADD is_service boolean NOT NULL DEFAULT false,
  ADD CONSTRAINT credentials_password_check CHECK (is_service = (password_hash IS NULL)) NOT VALID;

CREATE TABLE service_accounts (
  id          uuid PRIMARY KEY REFERENCES credentials ON DELETE CASCADE,
  name        text NOT NULL,
  revision    bigint NOT NULL DEFAULT 1,  -- counts the changes; the etag
  create_time timestamptz NOT NULL DEFAULT now(),
  update_time timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX service_accounts_by_create_time ON service_accounts (create_time, id);
-- Finds the API keys that an account has made for others.
CREATE INDEX api_keys_by_creator ON api_keys (creator_id);
