-- A sign-up makes the credential (in the auth service) between two statements here. A delayed job (remove_credential,
-- with the user's id as key) says that a credential may exist without an account.

-- name: finish_sign_up :one
-- not null: email_verified
-- row: user.v1.User
-- params: user.v1.CreateUserRequest as request
-- without request.password: the auth service keeps its hash
-- Makes the account and removes the job, in one statement: the one moment at which the sign-up becomes true.
-- ALREADY_EXISTS where the address is taken. The job `welcome` sends the mail that proves the address. No row where the job has begun, because the sign-up took too long.
WITH job AS (
  DELETE FROM jobs WHERE kind = 'remove_credential' AND key = :id AND dead_time IS NULL AND claims = 0 RETURNING key
), welcome AS (
  INSERT INTO jobs (kind, key) SELECT 'welcome', key FROM job WHERE :sends_mail::bool
)
INSERT INTO users (id, email, display_name) SELECT key::uuid, :request.email, :request.display_name FROM job
RETURNING {user};

-- name: finish_private_sign_up :one
-- row: user.v1.User
-- params: user.v1.CreateUserRequest as request
-- without request.password: the auth service keeps its hash
-- not null: id, email, display_name, etag, create_time, update_time, email_verified
-- Does so without telling whether the address was taken: the row is that of the new account, or one like it. Where the
-- address was taken, the credential has no account, so the job that removes it is due; a job tells the owner.
WITH job AS (
  DELETE FROM jobs WHERE kind = 'remove_credential' AND key = :id AND dead_time IS NULL AND claims = 0 RETURNING key
), added AS (
  INSERT INTO users (id, email, display_name)
  SELECT key::uuid, :request.email, :request.display_name FROM job
  WHERE NOT EXISTS (SELECT FROM held_addresses WHERE email = lower(:request.email) AND expire_time > now())
  ON CONFLICT (lower(email)) DO NOTHING RETURNING id
), told AS (
  INSERT INTO jobs (kind, key, payload)
  SELECT CASE WHEN EXISTS (SELECT FROM added) THEN 'welcome' ELSE 'sign_up_again' END, key,
    convert_to(:request.email, 'UTF8')
  FROM job
), orphan AS (
  INSERT INTO jobs (kind, key) SELECT 'remove_credential', key FROM job WHERE NOT EXISTS (SELECT FROM added)
)
SELECT key AS id, :request.email AS email, :request.display_name AS display_name, 1::bigint AS etag,
  now() AS create_time, now() AS update_time, false AS email_verified
FROM job;

-- name: forget_removal :exec
-- Takes the job away of a sign-up that has certainly made no credential.
DELETE FROM jobs WHERE kind = 'remove_credential' AND key = :id AND dead_time IS NULL AND claims = 0;
