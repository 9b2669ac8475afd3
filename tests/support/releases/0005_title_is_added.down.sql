ALTER TABLE items DROP title;
