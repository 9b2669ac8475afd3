-- The keys that sign access tokens; all instances share them. Times are milliseconds since 1970 by the database's clock.

-- name: list_keys :many
-- scan: there are a handful of keys
-- not null: now_ms
-- nullable: sign_ms
-- Lists the keys, those that have signed first in front, undated ones last.
SELECT kid, sealed, sealed_before, (extract(epoch FROM sign_time) * 1000)::bigint AS sign_ms, longest_ttl_ms,
  (extract(epoch FROM statement_timestamp()) * 1000)::bigint AS now_ms
FROM signing_keys ORDER BY sign_time NULLS LAST, kid;

-- name: lock_keys :exec
-- scan: it reads no row
LOCK TABLE signing_keys IN EXCLUSIVE MODE;

-- name: add_key :exec
-- Stores a key: one that signs from now on, or an undated one.
INSERT INTO signing_keys (kid, sealed, sealed_before, longest_ttl_ms, sign_time)
VALUES (:kid, :sealed, :sealed_before?, :longest_ttl_ms, CASE WHEN :signs_now::boolean THEN now() END);

-- name: date_key :exec
UPDATE signing_keys SET sign_time = to_timestamp(:sign_ms::bigint / 1000.0) WHERE kid = :kid;

-- name: remove_key :exec
DELETE FROM signing_keys WHERE kid = :kid;

-- name: remove_all_keys :affected
-- scan: there are a handful of keys
DELETE FROM signing_keys;

-- name: raise_key_ttl :exec
-- scan: there are a handful of keys
-- Notes that tokens of the keys live longer than was known.
UPDATE signing_keys SET longest_ttl_ms = :ttl_ms WHERE longest_ttl_ms < :ttl_ms;

-- name: reseal_key :exec
-- Replaces the sealed forms of a key, unless another instance has done so.
UPDATE signing_keys SET sealed = :sealed, sealed_before = :sealed_before? WHERE kid = :kid AND sealed = :old_sealed;

-- name: get_stored_secret :one
SELECT sealed, sealed_before FROM stored_secrets WHERE name = :name;

-- name: add_stored_secret :exec
INSERT INTO stored_secrets (name, sealed, sealed_before) VALUES (:name, :sealed, :sealed_before?)
ON CONFLICT (name) DO NOTHING;

-- name: reseal_stored_secret :exec
UPDATE stored_secrets SET sealed = :sealed, sealed_before = :sealed_before?
WHERE name = :name AND sealed = :old_sealed;
