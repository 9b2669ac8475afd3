ALTER TABLE items ADD title text;
