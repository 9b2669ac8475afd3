-- Accounts. How a query is written: proto/README.md.

-- fragment: user
id, email, display_name, revision AS etag, create_time, update_time, verify_time IS NOT NULL AS email_verified;

-- name: get :gathered
-- row: user.v1.User
-- not null: email_verified
SELECT {user}, k.place
FROM unnest(:id::uuid[]) WITH ORDINALITY AS k(key, place) JOIN users ON id = k.key;

-- name: find_by_email :one
-- row: user.v1.User
-- not null: email_verified
SELECT {user} FROM users WHERE lower(email) = lower(:email);

-- name: lock :one
-- row: user.v1.User
-- not null: email_verified
-- Locks the account until the transaction ends.
SELECT {user} FROM users WHERE id = :id::uuid FOR UPDATE;

-- name: update :one
-- row: user.v1.User
-- not null: email_verified
-- params: user.v1.User as user
-- Replaces the fields that may change, if the etag is still this one.
UPDATE users SET display_name = :user.display_name, revision = revision + 1,
  update_time = greatest(clock_timestamp(), update_time)
WHERE id = :user.id::uuid AND revision = :user.etag::bigint
RETURNING {user};

-- name: delete :affected
-- Deletes the account if its etag is still this one; NULL fits any. The same statement adds the jobs that remove its
-- credential, and what other services have of it; both know who has deleted it. An earlier release runs the first one only.
WITH gone AS (
  DELETE FROM users WHERE id = :id::uuid AND revision = coalesce(:etag?::text::bigint, revision) RETURNING id
)
INSERT INTO jobs (kind, key, payload)
SELECT k.kind, gone.id::text, :actor::bytea FROM gone, (VALUES ('remove_credential'), ('remove_data')) AS k(kind)
ON CONFLICT (kind, key) WHERE dead_time IS NULL DO UPDATE SET again = jobs.running, payload = excluded.payload,
  due_time = CASE WHEN jobs.running THEN jobs.due_time ELSE least(jobs.due_time, excluded.due_time) END;

-- name: list :page
-- row: user.v1.User
-- not null: email_verified
-- request: user.v1.ListUsersRequest
-- response: user.v1.ListUsersResponse
-- page: 20
-- filter email: lower(email) = lower(:email)
-- filter q: (lower(email) ~>=~ lower(:q) AND lower(email) ~<~ (lower(:q) || chr(1114111)) OR lower(display_name) ~>=~ lower(:q) AND lower(display_name) ~<~ (lower(:q) || chr(1114111)))
-- order createTime: create_time, id
-- default: createTime desc
-- What begins with q lies in the range [q, q + U+10FFFF) of byte order, which an index of text_pattern_ops serves.
SELECT {user} FROM users WHERE {filters} ORDER BY {order} LIMIT {limit};
