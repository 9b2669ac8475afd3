ALTER TABLE items DROP CONSTRAINT items_attributes_check;
ALTER TABLE items ALTER COLUMN attributes TYPE jsonb USING attributes::jsonb;
ALTER TABLE items ADD CONSTRAINT items_attributes_check CHECK (jsonb_typeof(attributes) = 'object');
