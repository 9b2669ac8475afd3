-- Service accounts. The credential of one has no password; roles, API keys, suspension and endings hang on it as on that
-- of any account, and its removal (delete_credential) removes all of them.

-- fragment: service_account
id, name, revision AS etag, create_time, update_time;

-- name: add_service_account :one
-- row: auth.v1.ServiceAccount
-- params: auth.v1.CreateServiceAccountRequest as request
WITH c AS (
  INSERT INTO credentials (user_id, is_service) VALUES (:id::uuid, true) RETURNING user_id
)
INSERT INTO service_accounts (id, name) SELECT c.user_id, :request.name FROM c RETURNING {service_account};

-- name: count_service_accounts :one
-- scan: there are 1,000 service accounts at most
-- not null: count
SELECT count(*) AS count FROM service_accounts;

-- name: get_service_account :gathered
-- row: auth.v1.ServiceAccount
SELECT {service_account}, k.place
FROM unnest(:id::uuid[]) WITH ORDINALITY AS k(key, place) JOIN service_accounts ON id = k.key;

-- name: lock_service_account :one
-- row: auth.v1.ServiceAccount
-- Locks the account until the transaction ends.
SELECT {service_account} FROM service_accounts WHERE id = :id::uuid FOR UPDATE;

-- name: update_service_account :one
-- row: auth.v1.ServiceAccount
-- params: auth.v1.ServiceAccount as service_account
-- Replaces the fields that may change, if the etag is still this one.
UPDATE service_accounts SET name = :service_account.name, revision = revision + 1,
  update_time = greatest(clock_timestamp(), update_time)
WHERE id = :service_account.id::uuid AND revision = :service_account.etag::bigint
RETURNING {service_account};

-- name: list_service_accounts :page
-- row: auth.v1.ServiceAccount
-- request: auth.v1.ListServiceAccountsRequest
-- response: auth.v1.ListServiceAccountsResponse
-- page: 20
-- order createTime: create_time, id
-- default: createTime desc
SELECT {service_account} FROM service_accounts WHERE {filters} ORDER BY {order} LIMIT {limit};

-- name: is_service_account :one
-- Tells whether an account is a program's. NOT_FOUND where there is no account.
SELECT is_service FROM credentials WHERE user_id = :user_id::uuid;
