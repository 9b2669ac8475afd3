-- Credentials and roles. How a query is written: proto/README.md.

-- name: put_credential :exec
-- Stores a credential unless the account has one, so that a late repetition of the call cannot bring an old
-- password back.
INSERT INTO credentials (user_id, password_hash) VALUES (:user_id::uuid, :password_hash)
ON CONFLICT (user_id) DO NOTHING;

-- name: delete_credential :affected
-- Deletes a credential, its sessions and its roles. No generation of its access tokens is good any more.
WITH gone AS (DELETE FROM credentials WHERE user_id = :user_id::uuid RETURNING user_id)
INSERT INTO endings (user_id, generation) SELECT user_id, 9007199254740992 FROM gone;

-- name: get_password_hash :one
-- not null: set_us, password_hash
-- set_us says which password it is: it changes with the password, and not with the hash of the same one. NOT_FOUND for a
-- service account, which has none.
SELECT password_hash, (extract(epoch FROM update_time) * 1000000)::bigint AS set_us, has_factor, factor_generation
FROM credentials WHERE user_id = :user_id::uuid AND NOT is_service;

-- name: lock_credential :one
-- not null: password_set_us
-- Keeps others from changing an account's password and from ending its sessions until the transaction ends.
SELECT (extract(epoch FROM update_time) * 1000000)::bigint AS password_set_us, email_change_generation
FROM credentials WHERE user_id = :user_id::uuid FOR NO KEY UPDATE;

-- name: replace_password_hash :exec
-- Replaces the hash by another one of the same password, if it is still the old one.
UPDATE credentials SET password_hash = :new_hash
WHERE user_id = :user_id::uuid AND password_hash = :old_hash;

-- name: change_password :affected
-- Sets another password, unless the old one is another by now, or the new one needs a factor that has gone meanwhile.
UPDATE credentials SET password_hash = :new_hash, needs_factor = :needs_factor, update_time = now()
WHERE user_id = :user_id::uuid AND password_hash = :old_hash AND (has_factor OR NOT :needs_factor);

-- name: set_password_hash :affected
-- Sets a password, unless it needs a factor that has gone meanwhile.
UPDATE credentials SET password_hash = :password_hash, needs_factor = :needs_factor, update_time = now()
WHERE user_id = :user_id::uuid AND (has_factor OR NOT :needs_factor);

-- name: grant_role :exec
-- Grants a role; granting it twice is fine. FAILED_PRECONDITION where the account has no credential.
INSERT INTO roles (user_id, role) VALUES (:user_id::uuid, :role) ON CONFLICT DO NOTHING;

-- name: revoke_role :exec
DELETE FROM roles WHERE user_id = :user_id::uuid AND role = :role;
