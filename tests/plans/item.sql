-- 100,000 items of 1,000 owners, and what the parameters of item's queries are. `make plans` fills the tables with it.
-- sample id: '00000000-0000-7000-8000-000000000007'
-- sample ids: '{00000000-0000-7000-9000-000000000001}'
-- sample owner_id: '00000000-0000-7000-8000-000000000001'
-- sample most: 200
-- sample skus: '{sku-1,sku-2}'
-- sample sku: 'sku-new'
-- sample name: 'name'
-- sample description: ''
-- sample category: 'category-3'
-- sample tags: '{tag-1}'
-- sample tag: 'tag-1'
-- sample price: '1.50'
-- sample currency: 'EUR'
-- sample quantity: 1
-- sample attributes: '{}'
-- sample etag: '1'
-- sample after_clock: 99000
-- sample after_change: 0
-- sample keep_ms: 3600000
-- sample q: 'lamp'
-- sample after_create_time: 1700000000000000
-- sample after_update_time: 1700000000000000
-- sample after_name: 'item 5'
-- sample after_quantity: 50
-- sample after_id: '00000000-0000-7000-8000-000000000007'
INSERT INTO items (id, owner_id, sku, name, description, category, tags, price, currency, quantity, attributes, create_time,
                   update_time)
SELECT ('00000000-0000-7000-8000-' || lpad(i::text, 12, '0'))::uuid,
       ('00000000-0000-7000-8000-' || lpad((i % 1000)::text, 12, '0'))::uuid, 'sku-' || i, 'item ' || i,
       CASE WHEN i % 500 = 0 THEN 'a lamp' ELSE 'a thing' END, 'category-' || i % 200,
       ARRAY['tag-' || i % 300, 'tag-' || i % 700], 1.5, 'EUR', i % 1000, '{}',
       timestamptz '2020-01-01' + i * interval '20 minutes', timestamptz '2020-01-01' + i * interval '20 minutes'
FROM generate_series(1, 100000) AS i;
-- Their changes, one to a transaction.
UPDATE item_changes SET clock = id;
