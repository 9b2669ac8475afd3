DROP TABLE stored_secrets;
-- An earlier release signs with the latest key, whether verifiers know it or not.
DELETE FROM signing_keys WHERE sign_time IS NULL OR sign_time > now();
ALTER TABLE signing_keys DROP sealed_before;
ALTER TABLE signing_keys DROP longest_ttl_ms;
ALTER TABLE signing_keys DROP sign_time;
