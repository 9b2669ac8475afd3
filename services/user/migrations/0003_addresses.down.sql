DROP TRIGGER held ON users;
DROP FUNCTION refuse_held_address();
DROP TABLE held_addresses;
ALTER TABLE users DROP email_version, DROP verify_time;
