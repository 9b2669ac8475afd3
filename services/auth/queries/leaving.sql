-- Accounts that are about to be deleted, so that the admins do not all leave at once. Service accounts never count among
-- the admins who are left.

-- name: begin_leaving :exec
UPDATE credentials SET leave_time = now() WHERE user_id = :user_id::uuid AND NOT is_service;

-- name: list_leaving_admins :many
-- Lists admins whose deletion was begun so long ago that it has ended or failed.
SELECT c.user_id FROM roles AS r JOIN credentials AS c ON c.user_id = r.user_id
WHERE r.role = 'admin' AND c.leave_time < now() - interval '1 minute' AND NOT c.is_service
ORDER BY c.leave_time LIMIT 20;

-- name: stay :exec
-- Notes that an account was not deleted, unless its deletion was begun again meanwhile.
UPDATE credentials SET leave_time = NULL
WHERE user_id = :user_id::uuid AND leave_time < now() - interval '1 minute';
