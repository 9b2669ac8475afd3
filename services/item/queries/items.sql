-- Items. How a query is written: proto/README.md.

-- fragment: item
id, owner_id, sku, name, description, category, tags, price, currency, quantity, attributes, revision AS etag,
create_time, update_time;

-- name: get :gathered
-- row: item.v1.Item
SELECT {item}, k.place
FROM unnest(:id::uuid[]) WITH ORDINALITY AS k(key, place) JOIN items ON id = k.key;

-- name: lock :one
-- row: item.v1.Item
-- Locks the item until the transaction ends.
SELECT {item} FROM items WHERE id = :id::uuid FOR UPDATE;

-- name: insert :gathered
-- row: item.v1.Item
-- params: item.v1.Item[] as item
-- Stores a new item. NOT_FOUND where the owner has an item with this sku. Attributes are json, so they stay as they
-- were sent, also a number such as 1e400, and PostgreSQL refuses none that the contract allows.
WITH made AS (
  INSERT INTO items (id, owner_id, sku, name, description, category, tags, price, currency, quantity, attributes)
  SELECT v.id, v.owner_id, v.sku, v.name, v.description, v.category, v.tags::text[], v.price::numeric, v.currency,
         v.quantity::int, coalesce(v.attributes::json, '{}')
  FROM unnest(:item.id::uuid[], :item.owner_id::uuid[], :item.sku::text[], :item.name::text[],
              :item.description::text[], :item.category::text[], :item.tags::text[], :item.price?::text[],
              :item.currency?::text[], :item.quantity::bigint[], :item.attributes?::text[])
       AS v(id, owner_id, sku, name, description, category, tags, price, currency, quantity, attributes)
  ON CONFLICT (owner_id, sku) DO NOTHING
  RETURNING {item}
)
SELECT made.*, k.place FROM unnest(:item.id::uuid[]) WITH ORDINALITY AS k(key, place) JOIN made ON made.id = k.key;

-- name: insert_many :many
-- row: item.v1.Item
-- params: item.v1.Item[] as items
-- Stores all items or none; the rows come in the order of the ids. ALREADY_EXISTS where the owner has an item with one
-- of the skus. Batches insert their items in the order of the skus, so that two of them never wait for each other.
WITH made AS (
  INSERT INTO items (id, owner_id, sku, name, description, category, tags, price, currency, quantity, attributes)
  SELECT v.id, :owner_id::uuid, v.sku, v.name, v.description, v.category, v.tags::text[], v.price::numeric, v.currency,
         v.quantity::int, coalesce(v.attributes::json, '{}')
  FROM unnest(:ids::uuid[], :items.sku::text[], :items.name::text[], :items.description::text[],
              :items.category::text[], :items.tags::text[], :items.price?::text[], :items.currency?::text[],
              :items.quantity::bigint[], :items.attributes?::text[])
       AS v(id, sku, name, description, category, tags, price, currency, quantity, attributes)
  ORDER BY v.sku
  RETURNING {item}
)
SELECT made.* FROM unnest(:ids::uuid[]) WITH ORDINALITY AS k(key, place) JOIN made ON made.id = k.key ORDER BY k.place;

-- name: insert_new :many
-- params: item.v1.Item[] as items
-- not null: place
-- Stores the items whose skus are new to the owner, and gives the places of the others, from 1 on. Of several with one
-- sku the first is stored. They are inserted in the order of the skus, as batches are.
WITH made AS (
  INSERT INTO items (id, owner_id, sku, name, description, category, tags, price, currency, quantity, attributes)
  SELECT v.id, :owner_id::uuid, v.sku, v.name, v.description, v.category, v.tags::text[], v.price::numeric, v.currency,
         v.quantity::int, coalesce(v.attributes::json, '{}')
  FROM unnest(:ids::uuid[], :items.sku::text[], :items.name::text[], :items.description::text[],
              :items.category::text[], :items.tags::text[], :items.price?::text[], :items.currency?::text[],
              :items.quantity::bigint[], :items.attributes?::text[]) WITH ORDINALITY
       AS v(id, sku, name, description, category, tags, price, currency, quantity, attributes, place)
  ORDER BY v.sku, v.place
  ON CONFLICT (owner_id, sku) DO NOTHING
  RETURNING id
)
SELECT k.place FROM unnest(:ids::uuid[]) WITH ORDINALITY AS k(key, place)
WHERE NOT EXISTS (SELECT FROM made WHERE made.id = k.key) ORDER BY k.place;

-- name: find_skus :many
-- Tells for each sku, in order, whether the owner has an item with it.
-- not null: taken
SELECT EXISTS (SELECT FROM items WHERE owner_id = :owner_id::uuid AND sku = v.sku) AS taken
FROM unnest(:skus::text[]) WITH ORDINALITY AS v(sku, place) ORDER BY v.place;

-- name: update :one
-- row: item.v1.Item
-- params: item.v1.Item as item
-- Replaces the fields that may change, if the etag is still this one. ALREADY_EXISTS where the owner has another item
-- with this sku.
UPDATE items SET sku = :item.sku, name = :item.name, description = :item.description, category = :item.category,
  tags = :item.tags::text[], price = :item.price?::numeric, currency = :item.currency?,
  quantity = :item.quantity::int, attributes = coalesce(:item.attributes?::json, '{}'),
  revision = revision + 1, update_time = greatest(clock_timestamp(), update_time),
  changed_in = greatest(changed_in, pg_current_xact_id()::text::bigint)
WHERE id = :item.id::uuid AND revision = :item.etag::bigint
RETURNING {item};

-- name: update_part :gathered
-- row: item.v1.Item
-- params: item.v1.Item[] as item
-- without item.sku: PostgreSQL computes `search` again where this is set; update does that
-- without item.name: as sku
-- without item.description: as sku
-- without item.tags: as sku
-- Replaces the fields that may change and that the search does not look at, if the etag is still this one.
UPDATE items SET category = v.new_category, price = v.new_price::numeric, currency = v.new_currency,
  quantity = v.new_quantity::int, attributes = coalesce(v.new_attributes::json, '{}'),
  revision = revision + 1, update_time = greatest(clock_timestamp(), update_time),
  changed_in = greatest(changed_in, pg_current_xact_id()::text::bigint)
FROM unnest(:item.id::uuid[], :item.etag::text[], :item.category::text[], :item.price?::text[], :item.currency?::text[],
            :item.quantity::bigint[], :item.attributes?::text[])
     WITH ORDINALITY AS v(key, old_etag, new_category, new_price, new_currency, new_quantity, new_attributes, place)
WHERE id = v.key AND revision = v.old_etag::bigint
RETURNING {item}, v.place;

-- name: delete :affected
-- Deletes the item if its etag is still this one; NULL fits any.
DELETE FROM items WHERE id = :id::uuid AND revision = coalesce(:etag?::text::bigint, revision);

-- name: list :page
-- row: item.v1.Item
-- request: item.v1.ListItemsRequest
-- response: item.v1.ListItemsResponse
-- page: 50
-- filter category: category = :category
-- filter tag: tags @> ARRAY[:tag]
-- filter owner_id: owner_id = :owner_id::uuid
-- filter q: search @@ websearch_to_tsquery('english', regexp_replace(:q, '-[\x01-\x21\x23-\x2f\x3a-\x40\x5b-\x60\x7b-\x7f]*-', '-', 'g'))
-- order createTime: create_time, id
-- order updateTime: update_time, id
-- order name: name COLLATE "C", id
-- order quantity: quantity, id
-- default: createTime desc
-- In q, of minus signs with nothing between them but punctuation one is left, because PostgreSQL takes no more than 32.
SELECT {item} FROM items WHERE {filters} ORDER BY {order} LIMIT {limit};
