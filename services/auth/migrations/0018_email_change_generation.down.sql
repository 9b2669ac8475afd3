ALTER TABLE credentials DROP email_change_generation;
