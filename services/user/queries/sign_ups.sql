-- A sign-up makes the credential (in the auth service) between two statements here. The note in orphan_credentials says
-- that a credential may exist without an account.

-- name: begin_sign_up :exec
-- Notes that a credential may exist without an account. The note is due after the time limit of a sign-up.
INSERT INTO orphan_credentials (user_id, due_time)
VALUES (:id::uuid, now() + :limit_ms::bigint * interval '1 millisecond');

-- name: finish_sign_up :one
-- row: user.v1.User
-- params: user.v1.CreateUserRequest as request
-- without request.password: the auth service keeps its hash
-- Makes the account and removes the note, in one statement: the one moment at which the sign-up becomes true.
-- ALREADY_EXISTS where the address is taken. No row where the note is gone, because the sign-up took too long.
WITH note AS (DELETE FROM orphan_credentials WHERE user_id = :id::uuid RETURNING user_id)
INSERT INTO users (id, email, display_name) SELECT user_id, :request.email, :request.display_name FROM note
RETURNING {user};

-- name: forget_orphan :exec
-- Removes the note of a credential that was deleted.
DELETE FROM orphan_credentials WHERE user_id = :id::uuid;

-- name: take_due_orphan :one
-- Locks one overdue note, so that no sign-up can finish on it until the transaction ends.
SELECT user_id FROM orphan_credentials WHERE due_time <= now() ORDER BY due_time LIMIT 1 FOR UPDATE SKIP LOCKED;

-- name: put_off_orphan :exec
UPDATE orphan_credentials SET due_time = clock_timestamp() + :pause_ms::bigint * interval '1 millisecond'
WHERE user_id = :id::uuid;
