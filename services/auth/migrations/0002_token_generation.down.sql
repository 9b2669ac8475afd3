ALTER TABLE credentials DROP token_generation;
