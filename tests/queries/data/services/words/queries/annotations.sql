-- name: Upper :one
SELECT id FROM things;

-- name: how :sometimes
SELECT id FROM things;

-- name: twice :one
SELECT id FROM things;

-- name: twice :one
SELECT id FROM things;

-- name: unknown :one
-- rows: item.v1.Item
SELECT id FROM things;

-- name: silent :exec
-- dedicated:
DELETE FROM things WHERE id = :id::uuid;

-- name: empty :exec

-- name: hole :one
SELECT {nothing} FROM things;

-- name: no_message :one
-- row: item.v1.Nothing
SELECT id FROM things;

-- name: no_params :one
SELECT id FROM things WHERE name = :item.name;

-- name: no_field :one
-- params: item.v1.Item as item
SELECT id FROM things WHERE name = :item.colour;

-- name: unused :one
-- params: item.v1.Item as item
SELECT id FROM things;

-- name: oneof_field :many
-- params: thing.v1.Thing[] as things
SELECT unnest(:things.left::text[]);

-- name: optional_field :many
-- params: thing.v1.Thing[] as things
SELECT unnest(:things.note::text[]);

-- name: two_minds :many
SELECT id FROM things WHERE name = :name? OR note = :name;

-- name: page_without :page
SELECT id FROM things;

-- name: page_filter :page
-- row: item.v1.Item
-- request: thing.v1.ListThingsRequest
-- response: item.v1.ListItemsResponse
-- without category: other tests are about filters
-- page: 50
-- filter colour: name = :colour
-- filter tag: name = 'tag'
-- order size: size, id
-- default: size desc
SELECT id, name FROM things WHERE {filters} ORDER BY {order} LIMIT {limit};

-- name: page_holes :page
-- row: item.v1.Item
-- request: thing.v1.ListThingsRequest
-- response: item.v1.ListItemsResponse
-- page: 50
-- filter category: {nothing} AND name = :category
-- order name: {filters}, id
-- order createTime: create_time, name
-- default: name asc
SELECT id, name FROM things WHERE {filters} AND {filters} ORDER BY {order} LIMIT {limit};

-- name: page_order :page
-- row: item.v1.Item
-- request: thing.v1.ListThingsRequest
-- response: item.v1.ListItemsResponse
-- without category: other tests are about filters
-- page: 50
-- order name: name, id
-- default: name asc
SELECT id, name FROM (SELECT * FROM things LIMIT {limit}) AS t WHERE {filters} ORDER BY {order};

-- name: page_parameters :page
-- row: item.v1.Item
-- request: thing.v1.ListThingsRequest
-- response: item.v1.ListItemsResponse
-- page: 50
-- filter category: name = :category
-- order name: name, id
-- default: name asc
SELECT id, name FROM things
WHERE name IN (:a, :b, :c, :d, :e, :f, :g, :h, :i, :j, :k, :l, :m, :n, :o, :p, :q, :r, :s, :t, :u) AND {filters}
ORDER BY {order} LIMIT {limit};

-- name: undecided :exec
-- writes: it notes who asked
-- read only: it changes nothing
SELECT 1;
