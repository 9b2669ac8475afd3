-- Credentials and roles. How a query is written: proto/README.md.

-- name: put_credential :exec
-- An account that has a credential keeps it, so that a late repetition of the call cannot take a password back.
INSERT INTO credentials (user_id, password_hash) VALUES (:user_id::uuid, :password_hash)
ON CONFLICT (user_id) DO NOTHING;

-- name: delete_credential :exec
-- Sessions and roles go with it.
DELETE FROM credentials WHERE user_id = :user_id::uuid;

-- name: get_password_hash :one
SELECT password_hash FROM credentials WHERE user_id = :user_id::uuid;

-- name: replace_password_hash :exec
-- If the hash is still the old one.
UPDATE credentials SET password_hash = :new_hash, update_time = now()
WHERE user_id = :user_id::uuid AND password_hash = :old_hash;

-- name: grant_role :exec
-- FAILED_PRECONDITION where the account has no credential. Granting a role twice is fine.
INSERT INTO roles (user_id, role) VALUES (:user_id::uuid, :role) ON CONFLICT DO NOTHING;

-- name: revoke_role :exec
DELETE FROM roles WHERE user_id = :user_id::uuid AND role = :role;
