-- Attributes stay the text that their owner sent. jsonb writes numbers out: 1e16000 in a request of a few bytes became
-- 16,000 digits in every reply, and an item could grow beyond what a reply may hold.
ALTER TABLE items DROP CONSTRAINT items_attributes_check;
ALTER TABLE items ALTER COLUMN attributes TYPE json USING attributes::json;
ALTER TABLE items ADD CONSTRAINT items_attributes_check CHECK (json_typeof(attributes) = 'object');
