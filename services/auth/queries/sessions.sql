-- Sessions, each with the roles that its account has now.

-- fragment: session
s.user_id, ARRAY(SELECT role FROM roles WHERE roles.user_id = s.user_id ORDER BY role) AS roles;

-- name: add_session :one
-- not null: roles
-- Stores a session. FAILED_PRECONDITION where the account has no credential any more.
WITH s AS (
  INSERT INTO sessions (id, user_id, token_hash, expire_time)
  VALUES (:id::uuid, :user_id::uuid, :token_hash, now() + :ttl_ms::bigint * interval '1 millisecond')
  RETURNING user_id
)
SELECT {session} FROM s;

-- name: rotate_session :one
-- not null: roles
-- Replaces the token of a session, in one statement: of two calls with the same token, one wins.
WITH s AS (
  UPDATE sessions SET token_hash = :new_hash, use_time = now(),
    expire_time = now() + :ttl_ms::bigint * interval '1 millisecond'
  WHERE token_hash = :old_hash AND expire_time > now()
  RETURNING user_id
)
SELECT {session} FROM s;

-- name: delete_session :exec
DELETE FROM sessions WHERE token_hash = :token_hash;

-- name: remove_expired_sessions :affected
DELETE FROM sessions WHERE expire_time <= now();
