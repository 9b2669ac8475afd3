-- name: open :one
SELECT id
FROM things

-- name: closed :one
SELECT id FROM things;

-- name: cut :page
-- row: item.v1.Item
-- request: thing.v1.ListThingsRequest
-- response: item.v1.ListItemsResponse
-- page: 50
-- filter category: note = :category; DROP TABLE things
-- order name: name; name, id
-- order quantity: size, id; DROP TABLE things
-- default: name asc
SELECT id, name, size::int AS quantity FROM things WHERE {filters} ORDER BY {order} LIMIT {limit};

-- name: quoted :page
-- row: item.v1.Item
-- request: thing.v1.ListThingsRequest
-- response: item.v1.ListItemsResponse
-- page: 50
-- filter category: note = :category || ';'
-- order name: (name || ';'), id
-- default: name asc
SELECT id, name FROM things WHERE {filters} ORDER BY {order} LIMIT {limit};

-- name: two_statements :exec
DELETE FROM things; DROP TABLE things;
