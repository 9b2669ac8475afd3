-- Mistakes that PostgreSQL sees. The lines must be those of the words at fault.

-- fragment: broken
id,
nmae;

-- name: column :one
SELECT id,
       wieght
FROM things;

-- name: in_a_fragment :one
SELECT {broken} FROM things;

-- name: table_name :one
SELECT id FROM thinks;

-- name: type :one
SELECT id FROM things
WHERE 'ä:b"' = name AND
      id = :id::int;

-- name: syntax :one
SELECT id FROM things
WHERE;

-- name: not_a_parameter :one
SELECT id, ':no' || $$:no {no} '$$ || E'\':no' || name'\' AS text$a$ /* :no */ FROM things
-- :no
WHERE name = :yes::text AND nothing = 1;

-- name: list :page
-- row: item.v1.Item
-- request: thing.v1.ListThingsRequest
-- response: item.v1.ListItemsResponse
-- page: 50
-- filter category: category = :category
-- order name: name, id
-- default: name asc
SELECT id, name FROM things WHERE {filters} ORDER BY {order} LIMIT {limit};

-- name: unordered :page
-- row: item.v1.Item
-- request: thing.v1.ListThingsRequest
-- response: item.v1.ListItemsResponse
-- without category: other tests are about filters
-- page: 50
-- order description: description, name
-- order name: name, name
-- default: description desc
SELECT id, name, note AS description FROM things WHERE {filters} ORDER BY {order} LIMIT {limit};
