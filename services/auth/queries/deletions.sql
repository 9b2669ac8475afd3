-- Deletions that have begun, so that the admins do not all go at once. `leave_time` says since when. Service accounts
-- never count among the admins who are left.

-- name: begin_deletion :exec
UPDATE credentials SET leave_time = now() WHERE user_id = :user_id::uuid AND NOT is_service;

-- name: list_stale_deletions :many
-- Lists admins whose deletion has begun so long ago that it has ended or failed.
SELECT c.user_id FROM roles AS r JOIN credentials AS c ON c.user_id = r.user_id
WHERE r.role = 'admin' AND c.leave_time < now() - interval '1 minute' AND NOT c.is_service
ORDER BY c.leave_time LIMIT 20;

-- name: cancel_deletion :exec
-- Notes that an account was not deleted, unless its deletion was begun again meanwhile.
UPDATE credentials SET leave_time = NULL
WHERE user_id = :user_id::uuid AND leave_time < now() - interval '1 minute';
