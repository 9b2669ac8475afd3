-- compatible from: 0001
-- Expand: credentials without an account are removed by jobs (kind remove_credential, the user's id as key), no longer by
-- a sweep of orphan_credentials. Releases before still write their notes there, and sweep what they find; until none of
-- them is left, and none is rolled back to, these triggers keep notes and jobs in step. A later migration drops the
-- table with its triggers; this release does not name it, and will run with that migration, too.

-- A note of an older release is a job as well.
CREATE FUNCTION orphan_credentials_noted() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  INSERT INTO jobs (kind, key, due_time) VALUES ('remove_credential', NEW.user_id::text, NEW.due_time)
  ON CONFLICT (kind, key) WHERE dead_time IS NULL DO NOTHING;
  RETURN NULL;
END
$$;
CREATE TRIGGER noted AFTER INSERT ON orphan_credentials FOR EACH ROW EXECUTE FUNCTION orphan_credentials_noted();

-- A sign-up of an older release has finished, or its sweep has removed the credential: there is nothing left to do.
CREATE FUNCTION orphan_credentials_forgotten() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  DELETE FROM jobs
  WHERE kind = 'remove_credential' AND key = OLD.user_id::text AND dead_time IS NULL AND claims = 0;
  RETURN NULL;
END
$$;
CREATE TRIGGER forgotten AFTER DELETE ON orphan_credentials FOR EACH ROW
  EXECUTE FUNCTION orphan_credentials_forgotten();

-- A job that begins takes the note away, so that no sign-up of an older release can finish while its credential goes.
CREATE FUNCTION removal_begins() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  DELETE FROM orphan_credentials WHERE user_id::text = NEW.key;
  RETURN NULL;
END
$$;
CREATE TRIGGER removal_begins AFTER UPDATE OF claims ON jobs FOR EACH ROW
  WHEN (NEW.kind = 'remove_credential' AND NEW.claims > OLD.claims) EXECUTE FUNCTION removal_begins();

INSERT INTO jobs (kind, key, due_time) SELECT 'remove_credential', user_id::text, due_time FROM orphan_credentials
ON CONFLICT (kind, key) WHERE dead_time IS NULL DO NOTHING;
