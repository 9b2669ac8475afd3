DROP TABLE orphan_credentials;
DROP TABLE users;
