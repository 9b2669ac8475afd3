-- API keys. What ends one is told to the gateways as the end of a session with the key's id.

-- name: lock_for_api_keys :many
-- Keeps others from adding keys to an account, and what ends all sessions of the maker of one, until the transaction
-- ends. Without a row for an account that has no credential.
SELECT user_id FROM credentials WHERE user_id = ANY (ARRAY[:user_id::uuid, :creator_id::uuid])
ORDER BY user_id FOR NO KEY UPDATE;

-- name: add_api_key :one
-- row: auth.v1.CreateApiKeyResponse
-- params: auth.v1.CreateApiKeyRequest as request
-- without request.owner_id: it is :user_id where it is given
-- Stores a key, unless the account, which is locked, has as many as it may. NOT_FOUND then.
INSERT INTO api_keys (id, user_id, creator_id, name, scopes, key_hash, key_prefix, expire_time)
SELECT :id::uuid, :user_id::uuid, :creator_id::uuid, :request.name, :request.scopes::text[], :key_hash, :key_prefix,
  :request.expire_time?
WHERE (SELECT count(*) FROM api_keys AS k
       WHERE k.user_id = :user_id::uuid AND (k.expire_time IS NULL OR k.expire_time > now())) < :most::bigint
RETURNING id, name, scopes, user_id AS owner_id, create_time, expire_time;

-- name: list_api_keys :many
-- row: auth.v1.ApiKey
SELECT id, name, scopes, user_id AS owner_id, key_prefix, create_time, expire_time, use_time AS last_use_time
FROM api_keys WHERE user_id = :user_id::uuid AND (expire_time IS NULL OR expire_time > now())
ORDER BY create_time DESC, id DESC;

-- name: find_api_key_owner :one
SELECT k.user_id, c.is_service FROM api_keys AS k JOIN credentials AS c ON c.user_id = k.user_id WHERE k.id = :id::uuid;

-- name: hold_api_key :one
-- Keeps a key of an account until the transaction ends, as hold_session does a session, for a caller with its token.
SELECT k.id FROM api_keys AS k JOIN credentials AS c ON c.user_id = k.user_id
WHERE k.id = :id::uuid AND k.user_id = :user_id::uuid
  AND c.token_generation <= greatest(:generation::bigint, 1)
FOR KEY SHARE OF k;

-- name: end_api_key :affected
-- Revokes a key.
WITH gone AS (DELETE FROM api_keys WHERE id = :id::uuid RETURNING id, user_id)
INSERT INTO endings (user_id, session_id) SELECT user_id, id FROM gone;

-- name: find_api_key :one
-- not null: use_is_old, is_admin, permissions, is_suspended
-- nullable: expire_s
-- Finds a key that is good, also of a suspended account, with what the account's roles hold now and the generation
-- of its tokens. Its use_is_old says that a use now is to be noted.
SELECT k.id, k.user_id, ceil(extract(epoch FROM k.expire_time))::bigint AS expire_s,
  k.scopes, EXISTS (SELECT FROM roles AS a WHERE a.user_id = k.user_id AND a.role = 'admin') AS is_admin,
  ARRAY(SELECT DISTINCT p
        FROM roles AS r, unnest((SELECT d.permissions FROM role_definitions AS d WHERE d.name = r.role)) AS p
        WHERE r.user_id = k.user_id) AS permissions,
  c.token_generation AS generation, coalesce(k.use_time < now() - interval '1 minute', true) AS use_is_old,
  c.suspend_time IS NOT NULL AS is_suspended
FROM api_keys AS k JOIN credentials AS c ON c.user_id = k.user_id
WHERE k.key_hash = :key_hash AND (k.expire_time IS NULL OR k.expire_time > now());

-- name: note_api_key_uses :exec
-- Notes that keys were used just now. Those that another instance notes meanwhile are passed over.
UPDATE api_keys SET use_time = now()
FROM (SELECT k.id FROM api_keys AS k WHERE k.id = ANY (:ids::uuid[]) FOR NO KEY UPDATE SKIP LOCKED) AS used
WHERE api_keys.id = used.id;

-- name: remove_expired_api_keys :affected
-- Their tokens have expired with them.
DELETE FROM api_keys WHERE expire_time <= now();
