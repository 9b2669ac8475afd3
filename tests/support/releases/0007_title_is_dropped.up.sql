-- compatible from: 0006
-- Contract: nobody has come to need it.
ALTER TABLE items DROP title;
