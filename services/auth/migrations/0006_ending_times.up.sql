-- compatible from: 0001
-- How long it is remembered that a session has ended: as long as its access tokens are taken. They live as long as the
-- longest AUTH_ACCESS_TTL of any instance that signs, now or before, says; services take them a minute and a half longer
-- at the end of a long call, and the rest is for the news to get around.
CREATE FUNCTION ending_expire_time() RETURNS timestamptz LANGUAGE sql STABLE AS $$
  SELECT now() + (coalesce(max(longest_ttl_ms), 0) + 120000) * interval '1 millisecond' FROM signing_keys
$$;
ALTER TABLE endings ALTER expire_time SET DEFAULT ending_expire_time();
