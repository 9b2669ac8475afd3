-- Sessions, each with the roles and the generation of tokens that its account has now.

-- fragment: session
s.id, s.user_id, extract(epoch FROM s.create_time)::bigint AS auth_time,
ARRAY(SELECT role FROM roles WHERE roles.user_id = s.user_id ORDER BY role) AS roles,
(SELECT token_generation FROM credentials WHERE credentials.user_id = s.user_id) AS generation;

-- name: add_session :one
-- not null: roles, auth_time, generation
-- Stores a session. FAILED_PRECONDITION where the account has no credential any more.
WITH s AS (
  INSERT INTO sessions (id, user_id, token_hash, expire_time)
  VALUES (:id::uuid, :user_id::uuid, :token_hash, now() + :ttl_ms::bigint * interval '1 millisecond')
  RETURNING id, user_id, create_time
)
SELECT {session} FROM s;

-- name: rotate_session :one
-- not null: roles, auth_time, generation
-- Replaces the token of a session, in one statement: of two calls with the same token, one wins.
WITH s AS (
  UPDATE sessions SET token_hash = :new_hash, use_time = now(),
    expire_time = now() + :ttl_ms::bigint * interval '1 millisecond'
  WHERE token_hash = :old_hash AND expire_time > now()
  RETURNING id, user_id, create_time
)
SELECT {session} FROM s;

-- name: delete_session :exec
DELETE FROM sessions WHERE token_hash = :token_hash;

-- name: remove_expired_sessions :affected
DELETE FROM sessions WHERE expire_time <= now();
