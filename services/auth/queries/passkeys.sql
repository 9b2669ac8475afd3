-- Passkeys.

-- name: list_passkey_descriptors :many
-- The newest first.
SELECT credential_id, transports FROM passkeys WHERE user_id = :user_id::uuid ORDER BY id DESC;

-- name: lock_for_passkeys :one
-- Keeps others from adding passkeys to an account until the transaction ends. NOT_FOUND for one that has no credential.
SELECT user_id FROM credentials WHERE user_id = :user_id::uuid FOR NO KEY UPDATE;

-- name: add_passkey :one
-- row: auth.v1.Passkey
-- Stores a passkey, unless the account, which is locked, has as many as it may. ALREADY_EXISTS where it is stored
-- already.
INSERT INTO passkeys (id, user_id, credential_id, public_key, algorithm, sign_count, transports, name)
SELECT :id::uuid, :user_id::uuid, :credential_id, :public_key, :algorithm, :sign_count,
       string_to_array(:transports, ' '), :name
WHERE (SELECT count(*) FROM passkeys AS p WHERE p.user_id = :user_id::uuid) < :most::bigint
RETURNING id, name, create_time;

-- name: get_passkey :one
-- not null: password_set_us
-- Finds a passkey, with the time when its account's password was set, and which factors it has.
SELECT p.id, p.user_id, p.public_key, p.algorithm, p.sign_count,
  (extract(epoch FROM c.update_time) * 1000000)::bigint AS password_set_us, c.factor_generation
FROM passkeys AS p JOIN credentials AS c ON c.user_id = p.user_id
WHERE p.credential_id = :credential_id;

-- name: use_passkey :affected
-- Spends a challenge and notes the use of a passkey, whose counter must grow where it has one: of two calls with the
-- same challenge, one wins.
WITH spent AS (
  INSERT INTO spent_challenges (challenge_hash, expire_time)
  VALUES (:challenge_hash, now() + :keep_ms::bigint * interval '1 millisecond')
  ON CONFLICT DO NOTHING RETURNING challenge_hash
)
UPDATE passkeys SET sign_count = :sign_count::bigint, use_time = now()
FROM spent
WHERE id = :id::uuid AND (sign_count < :sign_count::bigint OR (sign_count = 0 AND :sign_count::bigint = 0));

-- name: delete_passkey :affected
DELETE FROM passkeys WHERE id = :id::uuid AND user_id = :user_id::uuid;

-- name: spend_challenge :affected
-- Spends a challenge: of two calls with the same one, one wins.
INSERT INTO spent_challenges (challenge_hash, expire_time)
VALUES (:challenge_hash, now() + :keep_ms::bigint * interval '1 millisecond')
ON CONFLICT DO NOTHING;

-- name: remove_spent_challenges :affected
DELETE FROM spent_challenges WHERE expire_time <= now();
