-- name: find :one
SELECT colour FROM things WHERE id = :id::uuid;
