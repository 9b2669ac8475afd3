DROP TRIGGER removal_begins ON jobs;
DROP FUNCTION removal_begins();
DROP TRIGGER forgotten ON orphan_credentials;
DROP FUNCTION orphan_credentials_forgotten();
DROP TRIGGER noted ON orphan_credentials;
DROP FUNCTION orphan_credentials_noted();
-- What is still to be removed goes back to the sweep.
INSERT INTO orphan_credentials (user_id, due_time) SELECT key::uuid, min(due_time) FROM jobs
WHERE kind = 'remove_credential' GROUP BY key ON CONFLICT (user_id) DO NOTHING;
DELETE FROM jobs WHERE kind = 'remove_credential';
