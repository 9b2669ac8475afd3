-- The addresses of accounts: proven, changed and changed back. Each change adds a job in its own statement
-- (settle_address, its cause as key) that reports it to the auth service.

-- name: get_address :one
-- row: user.v1.Address
-- not null: verified
SELECT email, display_name, verify_time IS NOT NULL AS verified, email_version AS version
FROM users WHERE id = :id::uuid;

-- name: confirm_address :affected
-- Notes that the address is proven, unless the account has another one. Nothing where it was proven before.
UPDATE users SET verify_time = now(), revision = revision + 1, update_time = greatest(clock_timestamp(), update_time)
WHERE id = :id::uuid AND lower(email) = lower(:email) AND verify_time IS NULL;

-- name: change_address :affected
-- Replaces the address of this version, and holds it. ALREADY_EXISTS where the new one is taken. Nothing where the account
-- has another address by now, or this one.
WITH old AS (
  SELECT id, email FROM users
  WHERE id = :id::uuid AND email_version = :version::bigint AND lower(email) <> lower(:email) FOR UPDATE
), changed AS (
  UPDATE users SET email = :email, email_version = email_version + 1, verify_time = now(), revision = revision + 1,
    update_time = greatest(clock_timestamp(), update_time)
  FROM old WHERE users.id = old.id RETURNING users.id, old.email AS old_email
), held AS (
  INSERT INTO held_addresses (email, user_id, expire_time)
  SELECT lower(old_email), id, now() + :hold_ms::bigint * interval '1 millisecond' FROM changed
  ON CONFLICT (email) DO UPDATE SET user_id = excluded.user_id, expire_time = excluded.expire_time
)
INSERT INTO jobs (kind, key) SELECT 'settle_address', :cause FROM changed
ON CONFLICT (kind, key) WHERE dead_time IS NULL DO NOTHING;

-- name: restore_address :affected
-- Takes a change back: gives the address of an earlier version. ALREADY_EXISTS where it is taken. Nothing where the account
-- has it.
WITH changed AS (
  UPDATE users SET email = :email, email_version = email_version + 1, verify_time = now(), revision = revision + 1,
    update_time = greatest(clock_timestamp(), update_time)
  WHERE id = :id::uuid AND email_version > :version::bigint AND lower(email) <> lower(:email) RETURNING id
)
INSERT INTO jobs (kind, key) SELECT 'settle_address', :cause FROM changed
ON CONFLICT (kind, key) WHERE dead_time IS NULL DO NOTHING;

-- name: forget_held_addresses :exec
-- Removes what is held no more.
DELETE FROM held_addresses WHERE expire_time <= now();
