-- The items of an owner who leaves.

-- name: list_owned_ids :many
SELECT id FROM items WHERE owner_id = :owner_id::uuid ORDER BY create_time, id LIMIT :most::bigint;

-- name: delete_owned :affected
DELETE FROM items WHERE id = ANY (:ids::uuid[]) AND owner_id = :owner_id::uuid;

-- name: list_owned :page
-- row: item.v1.Item
-- request: item.v1.ListOwnerItemsRequest
-- response: item.v1.ListOwnerItemsResponse
-- page: 100
-- filter owner_id: owner_id = :owner_id::uuid
-- order createTime: create_time, id
-- default: createTime desc
SELECT id, owner_id, sku, name, description, category, tags, price, currency, quantity, attributes, revision AS etag,
  create_time, update_time
FROM items WHERE {filters} ORDER BY {order} LIMIT {limit};
