-- A sign-up makes the credential (in the auth service) between two statements here. A delayed job (remove_credential,
-- with the user's id as key) says that a credential may exist without an account.

-- name: finish_sign_up :one
-- row: user.v1.User
-- params: user.v1.CreateUserRequest as request
-- without request.password: the auth service keeps its hash
-- Makes the account and removes the job, in one statement: the one moment at which the sign-up becomes true.
-- ALREADY_EXISTS where the address is taken. No row where the job has begun, because the sign-up took too long.
WITH job AS (
  DELETE FROM jobs WHERE kind = 'remove_credential' AND key = :id AND dead_time IS NULL AND claims = 0 RETURNING key
)
INSERT INTO users (id, email, display_name) SELECT key::uuid, :request.email, :request.display_name FROM job
RETURNING {user};

-- name: forget_removal :exec
-- Takes the job away of a sign-up that has certainly made no credential.
DELETE FROM jobs WHERE kind = 'remove_credential' AND key = :id AND dead_time IS NULL AND claims = 0;
