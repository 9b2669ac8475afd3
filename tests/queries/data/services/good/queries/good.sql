-- name: nullability :one
-- not null: longest
-- What a row may hold as NULL: what its table may, what an expression gives, and what the query says.
SELECT id, note, weight, size, name || note AS both, length(name) AS longest FROM things WHERE id = :id::uuid;

-- name: writes_nothing :one
SELECT name FROM things WHERE id = :id::uuid;

-- name: locks :one
SELECT name FROM things WHERE id = :id::uuid FOR UPDATE;

-- name: calls :one
SELECT name FROM things WHERE id = :id::uuid AND random() < 2;

-- name: many :many
SELECT id, create_time FROM things WHERE name = ANY (:names::text[]) AND size > :least? AND note = :note?;

-- name: lock_table :exec
LOCK TABLE things;

-- name: rename :gathered
-- row: item.v1.Item
-- params: user.v1.User[] as user
-- Changes rows by messages of another type.
UPDATE things SET name = v.new_name, note = v.new_note
FROM unnest(:user.id::uuid[], :user.display_name::text[], :user.email?::text[])
     WITH ORDINALITY AS v(key, new_name, new_note, place)
WHERE id = v.key
RETURNING id, name, v.place;

-- name: weigh :gathered
-- row: item.v1.Item
-- params: thing.v1.Thing[] as thing
-- without thing.left: the test is about optional fields
-- without thing.right: as left
-- without thing.heavy: as left
UPDATE things SET note = v.new_note, weight = v.new_weight, size = coalesce(v.new_size, size)
FROM unnest(:thing.id::uuid[], :thing.note?::text[], :thing.weight?::int[], :thing.size?::bigint[])
     WITH ORDINALITY AS v(key, new_note, new_weight, new_size, place)
WHERE id = v.key
RETURNING id, name, v.place;

-- name: list :page
-- row: item.v1.Item
-- request: thing.v1.ListThingsRequest
-- response: item.v1.ListItemsResponse
-- page: 50
-- filter category: name = :category OR note = :category
-- order name: name, id
-- default: name asc
SELECT id, name FROM things WHERE size > :least AND {filters} ORDER BY {order} LIMIT {limit};
