-- Mistakes in which a field that clients write would be accepted and lost.

-- name: insert_forgets :exec
-- params: user.v1.User as user
INSERT INTO things (id, name, size) VALUES (:id::uuid, :user.email, 1);

-- name: each_forgets :exec
-- params: user.v1.User[] as users
WITH made AS (insert /* here */ into things (id, name, size) SELECT id, '', 1 FROM unnest(:ids::uuid[]) AS v(id) RETURNING id)
SELECT FROM unnest(:users.display_name::text[]) AS u(name), made;

-- name: update_forgets :exec
-- params: user.v1.User as user
UPDATE things SET name = name WHERE id = :user.id::uuid AND size = :user.etag::bigint;

-- name: reasonless :exec
-- params: user.v1.User as user
-- without user.email:
INSERT INTO things (id, name, size) VALUES (:user.id::uuid, :user.display_name, 1);

-- name: misspelt :exec
-- params: user.v1.User as user
-- without user.mail: another service keeps it
-- without email: another service keeps it
INSERT INTO things (id, name, size) VALUES (:user.id::uuid, :user.display_name, 1);

-- name: needless :exec
-- params: user.v1.User as user
-- without user.email: it is stored all the same
-- without user.create_time: the service sets it
INSERT INTO things (id, name, note, size) VALUES (:user.id::uuid, :user.display_name, :user.email, 1);

-- name: each_of_no_array :exec
-- params: thing.v1.Thing[] as things
INSERT INTO things (id, name, note, weight, size)
SELECT id, '', note, weight, size
FROM unnest(:things.id::uuid[], :things.note?::text[], :things.weight?::int[], :things.size?::bigint[]) AS v(id, note, weight, size);

-- The queries below are right.

-- name: insert_all :exec
-- params: user.v1.User as user
INSERT INTO things (id, name, note, size) VALUES (:user.id::uuid, :user.display_name, :user.email, 1);

-- name: insert_with_reason :exec
-- params: user.v1.CreateUserRequest as request
-- without request.password: the auth service keeps it
INSERT INTO things (id, name, note, size) VALUES (:id::uuid, :request.display_name, :request.email, 1);

-- name: deletes :exec
-- params: user.v1.User as user
DELETE FROM things WHERE id = :user.id::uuid;

-- name: reads :one
-- params: user.v1.User as user
-- An INSERT INTO in a comment or a text is not one, and FOR UPDATE changes no field.
SELECT 'INSERT INTO things SET' AS text FROM things WHERE id = :user.id::uuid FOR UPDATE;
