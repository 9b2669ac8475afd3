-- Statements that PostgreSQL takes and C or the contract does not.

-- name: no_rows :one
DELETE FROM things WHERE id = :id::uuid;

-- name: rows :exec
SELECT id FROM things WHERE id = :id::uuid;

-- name: no_type :one
SELECT id, place FROM things WHERE id = :id::uuid;

-- name: no_name :one
SELECT id, size + 1 FROM things WHERE id = :id::uuid;

-- name: same_name :one
SELECT id, name, note AS name FROM things WHERE id = :id::uuid;

-- name: no_such_field :one
-- row: item.v1.Item
SELECT id, weight FROM things WHERE id = :id::uuid;

-- name: too_wide :one
-- row: item.v1.Item
SELECT id, size AS quantity FROM things WHERE id = :id::uuid;

-- name: nullable :one
-- row: item.v1.Item
SELECT id, weight AS quantity FROM things WHERE id = :id::uuid;

-- name: nullable_by_join :one
-- row: item.v1.Item
SELECT t.id, o.create_time, length(o.name) AS quantity
FROM things t LEFT JOIN things o ON o.name = t.note WHERE t.id = :id::uuid;

-- name: time_of_text :one
-- params: item.v1.Item as item
SELECT id FROM things WHERE create_time > :item.name::timestamptz;

-- name: each :many
-- params: item.v1.Item[] as items
SELECT id FROM things WHERE name = :items.name;

-- name: gathered :gathered
SELECT id, name FROM things WHERE id = :id::uuid;

-- name: change_of_one :gathered
-- row: item.v1.Item
-- params: item.v1.Item as item
DELETE FROM things WHERE id = :item.id::uuid RETURNING id, name, 1::bigint AS place;

-- name: change_without_place :gathered
-- row: item.v1.Item
-- params: item.v1.Item[] as item
DELETE FROM things USING unnest(:item.id::uuid[]) WITH ORDINALITY AS v(key, place) WHERE id = v.key RETURNING id, name;

-- name: change_without_returning :gathered
-- params: item.v1.Item[] as item
DELETE FROM things USING unnest(:item.id::uuid[]) WITH ORDINALITY AS v(key, place) WHERE id = v.key;

-- name: change_that_reads :gathered
-- row: item.v1.Item
-- params: item.v1.Item[] as item
SELECT id, name, v.place FROM things JOIN unnest(:item.id::uuid[]) WITH ORDINALITY AS v(key, place) ON id = v.key;

-- name: change_with_more :gathered
-- row: item.v1.Item
-- params: item.v1.Item[] as item
DELETE FROM things USING unnest(:item.id::uuid[]) WITH ORDINALITY AS v(key, place) WHERE id = v.key AND note = :note
RETURNING id, name, v.place;

-- name: change_by_number :gathered
-- row: item.v1.Item
-- params: item.v1.Item[] as item
DELETE FROM things USING unnest(:item.quantity::bigint[]) WITH ORDINALITY AS v(key, place) WHERE weight = v.key
RETURNING id, name, v.place;

-- name: change_of_columns :gathered
-- params: item.v1.Item[] as item
DELETE FROM things USING unnest(:item.id::uuid[]) WITH ORDINALITY AS v(key, place) WHERE id = v.key RETURNING id, v.place;

-- The query below is right.

-- name: change :gathered
-- row: item.v1.Item
-- params: item.v1.Item[] as item
DELETE FROM things USING unnest(:item.id::uuid[]) WITH ORDINALITY AS v(key, place) WHERE id = v.key
RETURNING id, name, v.place;

-- name: list :page
-- row: item.v1.Item
-- request: thing.v1.ListThingsRequest
-- response: item.v1.ListItemsResponse
-- without category: other tests are about filters
-- page: 50
-- order name: name, id
-- default: quantity desc
SELECT id, name FROM things WHERE {filters} ORDER BY {order} LIMIT {limit};

-- name: counted :one
SELECT id FROM things WHERE id = $1::uuid;

-- name: needless :many
-- dedicated: may take long
SELECT id FROM things;

-- name: needless_write :exec
-- dedicated: may take long
DELETE FROM things WHERE id = :id::uuid;
