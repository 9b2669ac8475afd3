-- name: by_name :many
SELECT id FROM things WHERE name = :name;

-- name: by_key :one
SELECT id FROM things WHERE id = :id::uuid;

-- name: all_by_key :many
SELECT id FROM things ORDER BY id;

-- name: allowed :many
-- scan: this is what the test is about
SELECT id FROM things WHERE name = :name;
