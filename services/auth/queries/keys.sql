-- The keys that sign access tokens; all instances share them.

-- name: list_keys :many
-- scan: there are a handful of keys
-- Lists the keys, newest first.
SELECT kid, sealed FROM signing_keys ORDER BY create_time DESC, kid;

-- name: lock_keys :exec
-- scan: it reads no row
LOCK TABLE signing_keys IN EXCLUSIVE MODE;

-- name: add_first_key :affected
-- scan: there are a handful of keys
-- Stores a key if there is none yet.
INSERT INTO signing_keys (kid, sealed) SELECT :kid, :sealed WHERE NOT EXISTS (SELECT FROM signing_keys);
