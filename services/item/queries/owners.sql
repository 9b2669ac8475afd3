-- The items of an owner who leaves.

-- name: list_owned_ids :many
SELECT id FROM items WHERE owner_id = :owner_id::uuid ORDER BY create_time, id LIMIT :most::bigint;

-- name: delete_owned :affected
DELETE FROM items WHERE id = ANY (:ids::uuid[]) AND owner_id = :owner_id::uuid;
