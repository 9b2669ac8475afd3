-- name: find :one
SELECT name FROM things WHERE id = :id::uuid;
