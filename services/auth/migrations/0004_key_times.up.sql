-- compatible from: 0001
-- Signing keys rotate. A key signs from sign_time on; NULL is one that is published and has no such time yet. The default
-- is what an earlier release means that makes the first key. Keys that are there already begin their time now.
ALTER TABLE signing_keys ADD sign_time timestamptz DEFAULT now();
-- How long the tokens of a key live at most. An earlier release says nothing of it, so its keys stay for as long as any
-- setting allows.
ALTER TABLE signing_keys ADD longest_ttl_ms bigint NOT NULL DEFAULT 86400000;
-- The same key sealed under the secret before, while AUTH_KEY_SECRET changes.
ALTER TABLE signing_keys ADD sealed_before bytea;

-- Secrets that survive a change of AUTH_KEY_SECRET, under which they are sealed.
CREATE TABLE stored_secrets (
  name          text PRIMARY KEY,
  sealed        bytea NOT NULL,
  sealed_before bytea
);
