-- Removes the service accounts with their roles and API keys; no access token of theirs is good any more. What other
-- services have stored for them, such as items, stays: delete the accounts first where it should go, too.
DROP INDEX api_keys_by_creator;
DROP TABLE service_accounts;
WITH gone AS (DELETE FROM credentials WHERE is_service RETURNING user_id)
INSERT INTO endings (user_id, generation) SELECT user_id, 9007199254740992 FROM gone;
ALTER TABLE credentials DROP CONSTRAINT credentials_password_check, DROP is_service, ALTER password_hash SET NOT NULL;
