-- Suspended accounts.

-- name: suspend_account :affected
-- Suspends an account, or leaves it suspended. Its row is locked, so a login that is storing its session is seen by what
-- ends them next.
UPDATE credentials SET suspend_time = coalesce(suspend_time, now()) WHERE user_id = :user_id::uuid;

-- name: resume_account :affected
UPDATE credentials SET suspend_time = NULL WHERE user_id = :user_id::uuid;

-- name: is_account_suspended :one
-- not null: suspended
SELECT suspend_time IS NOT NULL AS suspended FROM credentials WHERE user_id = :user_id::uuid;

-- name: list_suspensions :many
-- row: auth.v1.Suspension
SELECT user_id, suspend_time FROM credentials WHERE user_id = ANY(:user_ids::uuid[]) AND suspend_time IS NOT NULL;
