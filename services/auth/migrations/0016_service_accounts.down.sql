DROP TABLE service_accounts;
DELETE FROM credentials WHERE is_service;
ALTER TABLE credentials DROP CONSTRAINT credentials_password_check, DROP is_service, ALTER password_hash SET NOT NULL;
