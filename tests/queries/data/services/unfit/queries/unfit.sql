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

-- name: list :page
-- row: item.v1.Item
-- request: item.v1.ListItemsRequest
-- response: item.v1.ListItemsResponse
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
