-- What make bench reads and changes: items of about 1 KB as JSON. psql -v owners={UUID,...} -v items=100000
TRUNCATE item.items;
-- A thousand texts of 72 words, for the items to share. Each repeats twelve words, because an UPDATE spends its time on
-- the index of words otherwise, and any suite looks fast beside it.
WITH texts AS MATERIALIZED (
  SELECT array_agg(words ORDER BY t) AS texts
  FROM (SELECT t, (SELECT string_agg('w' || md5(((t * 7919 + (w % 12) * 31) % 3000)::text)::char(7), ' ')
                   FROM generate_series(1, 72) AS w) AS words
        FROM generate_series(1, 1000) AS t) AS made
)
INSERT INTO item.items (id, owner_id, sku, name, description, category, tags, price, currency, quantity, attributes,
                        create_time, update_time)
SELECT ('00000000-0000-7000-8000-' || lpad(i::text, 12, '0'))::uuid,
       (:'owners'::uuid[])[i % array_length(:'owners'::uuid[], 1) + 1],
       'sku-' || i, 'Thing ' || i, (SELECT texts FROM texts)[i % 1000 + 1], 'category-' || i % 200,
       ARRAY['tag-' || i % 300, 'tag-' || i % 700], 12.5, 'EUR', i % 1000, '{"colour": "brass"}',
       now() - i * interval '1 minute', now() - i * interval '1 minute'
FROM generate_series(1, :items) AS i;
VACUUM ANALYZE item.items;
CHECKPOINT;
