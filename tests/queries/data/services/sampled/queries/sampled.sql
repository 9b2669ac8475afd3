-- name: find :one
SELECT id FROM things WHERE name = :name AND id = :id::uuid;

-- name: find_again :one
SELECT id FROM things WHERE name = :name AND size = :size;

-- name: list :page
-- row: item.v1.Item
-- request: thing.v1.ListThingsRequest
-- response: item.v1.ListItemsResponse
-- page: 50
-- filter category: note = :category
-- order name: name, id
-- order createTime: create_time, id
-- default: name asc
SELECT id, name, create_time FROM things WHERE size = :size AND {filters} ORDER BY {order} LIMIT {limit};

-- name: allowed :many
-- scan: its samples are not needed
SELECT id FROM things WHERE note = :note;
