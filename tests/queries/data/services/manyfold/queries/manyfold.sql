-- Gathered changes that may change several rows for one message, or whose first parameter is not the row's key.

-- name: by_note :gathered
-- row: item.v1.Item
-- params: item.v1.Item[] as item
DELETE FROM things USING unnest(:item.sku::text[]) WITH ORDINALITY AS v(key, place) WHERE note = v.key
RETURNING id, name, v.place;

-- name: by_half_a_key :gathered
-- row: item.v1.Item
-- params: item.v1.Item[] as item
DELETE FROM things USING unnest(:item.owner_id::uuid[]) WITH ORDINALITY AS v(key, place) WHERE owner_id = v.key
RETURNING id, name, v.place;

-- name: by_range :gathered
-- row: item.v1.Item
-- params: item.v1.Item[] as item
DELETE FROM things USING unnest(:item.id::uuid[]) WITH ORDINALITY AS v(key, place) WHERE id >= v.key
RETURNING id, name, v.place;

-- name: either :gathered
-- row: item.v1.Item
-- params: item.v1.Item[] as item
DELETE FROM things USING unnest(:item.id::uuid[], :item.name::text[]) WITH ORDINALITY AS v(key, old_name, place)
WHERE id = v.key OR name = v.old_name
RETURNING id, name, v.place;

-- name: all_rows :gathered
-- row: item.v1.Item
-- params: item.v1.Item[] as item
DELETE FROM things USING unnest(:item.id::uuid[]) WITH ORDINALITY AS v(key, place)
RETURNING id, name, v.place;

-- name: key_is_second :gathered
-- row: item.v1.Item
-- params: item.v1.Item[] as item
DELETE FROM things
USING unnest(:item.etag::text[], :item.id::uuid[]) WITH ORDINALITY AS v(old_etag, key, place)
WHERE id = v.key AND revision = v.old_etag::bigint
RETURNING id, name, v.place;

-- The queries below are right, or their plans do not tell.

-- name: by_key :gathered
-- row: item.v1.Item
-- params: item.v1.Item[] as item
DELETE FROM things AS t
USING unnest(:item.id::text[], :item.etag::text[]) WITH ORDINALITY v (Key, old_etag, place)
WHERE v.old_etag::bigint = t.revision AND v.key::uuid = t.id
RETURNING t.id, t.name, v.place;

-- name: by_two_columns :gathered
-- row: item.v1.Item
-- params: item.v1.Item[] as item
DELETE FROM things USING unnest(:item.name::text[], :item.owner_id::uuid[]) WITH ORDINALITY AS v(a_name, an_owner, place)
WHERE owner_id = v.an_owner AND name = v.a_name
RETURNING id, name, v.place;

-- name: by_another_table :gathered
-- row: item.v1.Item
-- params: item.v1.Item[] as item
DELETE FROM things USING unnest(:item.id::uuid[]) WITH ORDINALITY AS v(key, place), labels
WHERE labels.id = v.key AND things.id = labels.thing_id
RETURNING things.id, things.name, v.place;

-- name: makes :gathered
-- row: item.v1.Item
-- params: item.v1.Item[] as item
-- without item.sku: the test is about the form
-- without item.description: as sku
-- without item.category: as sku
-- without item.tags: as sku
-- without item.price: as sku
-- without item.currency: as sku
-- without item.quantity: as sku
-- without item.attributes: as sku
WITH made AS (
  INSERT INTO things (id, owner_id, name, note)
  SELECT v.id, v.owner_id, v.name, '' FROM unnest(:item.id::uuid[], :item.owner_id::uuid[], :item.name::text[])
         AS v(id, owner_id, name)
  RETURNING id, name
)
SELECT made.*, k.place FROM unnest(:item.id::uuid[]) WITH ORDINALITY AS k(key, place) JOIN made ON made.id = k.key;
