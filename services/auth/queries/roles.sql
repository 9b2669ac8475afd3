-- Roles, what they hold, and who holds them.

-- name: list_roles :many
-- scan: there are 500 roles at most
-- row: auth.v1.Role
-- Lists the roles that admins have made.
SELECT name, permissions, create_time, update_time FROM role_definitions WHERE NOT built_in AND NOT ending ORDER BY name;

-- name: lock_roles :exec
-- Keeps other changes of who holds what, and of what roles hold, until the transaction ends.
SELECT FROM role_definitions WHERE name = 'admin' FOR UPDATE;

-- name: find_role :one
SELECT name, permissions, built_in FROM role_definitions WHERE name = :name AND NOT ending;

-- name: find_roles :many
SELECT name, permissions FROM role_definitions WHERE name = ANY(:names::text[]) AND NOT ending ORDER BY name;

-- name: count_roles :one
-- scan: there are 500 roles at most
-- not null: count
SELECT count(*) AS count FROM role_definitions;

-- name: add_role :one
-- row: auth.v1.Role
INSERT INTO role_definitions (name, permissions) VALUES (:name, :permissions::text[])
RETURNING name, permissions, create_time, update_time;

-- name: set_role_permissions :one
-- row: auth.v1.Role
-- What changes nothing keeps the time of the last change.
UPDATE role_definitions SET permissions = :permissions::text[],
  update_time = CASE WHEN permissions = :permissions::text[] THEN update_time ELSE now() END
WHERE name = :name AND NOT built_in
RETURNING name, permissions, create_time, update_time;

-- name: begin_role_end :exec
-- A role that is being taken from its holders holds nothing any more.
UPDATE role_definitions SET ending = true, permissions = '{}', update_time = now() WHERE name = :name AND NOT built_in;

-- name: end_holders :one
-- not null: count
-- nullable: last
-- Ends the access tokens of the next holders of a role, and takes the role from them where it is being removed.
WITH held AS (
  SELECT user_id FROM roles WHERE role = :role AND user_id > :previous_id::uuid ORDER BY user_id LIMIT :most::bigint
), gone AS (
  DELETE FROM roles WHERE role = :role AND user_id IN (SELECT user_id FROM held)
    AND EXISTS (SELECT FROM role_definitions WHERE name = :role AND ending)
), c AS (
  UPDATE credentials SET token_generation = token_generation + 1 WHERE user_id IN (SELECT user_id FROM held)
  RETURNING user_id, token_generation
), e AS (
  INSERT INTO endings (user_id, generation) SELECT user_id, token_generation FROM c
)
SELECT max(user_id::text) AS last, count(*) AS count FROM held;

-- name: remove_ended_role :affected
DELETE FROM role_definitions WHERE name = :name AND ending
  AND (SELECT user_id FROM roles WHERE role = :name ORDER BY user_id LIMIT 1) IS NULL;

-- name: get_user_roles :one
-- not null: roles, permissions
-- Reads what an account holds beside the role `user`.
SELECT ARRAY(SELECT role FROM roles WHERE user_id = c.user_id ORDER BY role) AS roles,
  ARRAY(SELECT DISTINCT p FROM roles r, unnest((SELECT d.permissions FROM role_definitions d WHERE d.name = r.role)) AS p
        WHERE r.user_id = c.user_id ORDER BY p) AS permissions
FROM credentials c WHERE c.user_id = :user_id::uuid;

-- name: count_other_admins :one
-- not null: count
-- Counts other admins who may sign in, which a service account cannot, and whose deletion has not begun: 1 or 0.
SELECT count(*) AS count
FROM (SELECT r.user_id FROM roles AS r JOIN credentials AS c ON c.user_id = r.user_id
      WHERE r.role = 'admin' AND r.user_id <> :user_id::uuid AND c.suspend_time IS NULL AND c.leave_time IS NULL
        AND NOT c.is_service
      ORDER BY r.user_id LIMIT 1) AS admins;

-- name: is_admin :one
-- not null: is_admin
SELECT EXISTS (SELECT FROM roles WHERE user_id = :user_id::uuid AND role = 'admin') AS is_admin;

-- name: set_user_roles :exec
-- Gives an account these roles and takes all others from it.
WITH gone AS (DELETE FROM roles WHERE user_id = :user_id::uuid AND role <> ALL(:roles::text[]))
INSERT INTO roles (user_id, role) SELECT :user_id::uuid, unnest(:roles::text[]) ON CONFLICT DO NOTHING;
