DROP TABLE remembered_devices;
DROP TABLE factor_tries;
DROP TABLE login_challenges;
DROP TABLE recovery_codes;
DROP TABLE factors;
ALTER TABLE credentials DROP needs_factor, DROP has_factor, DROP factor_generation;
