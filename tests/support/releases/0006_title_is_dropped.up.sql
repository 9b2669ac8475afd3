-- compatible from: 0005
-- Contract: nobody has come to need it.
ALTER TABLE items DROP title;
