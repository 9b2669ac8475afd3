-- Second factors, recovery codes, the challenges of logins, and the devices that skip them.
--
-- Whatever changes the factors of an account locks its credential first (lock_factors) and says at the end what is left
-- (settle_factors), so changes of one account happen one after the other.

-- name: lock_factors :affected
-- Locks the account's factors, and voids what rests on those of before: challenges and remembered devices.
UPDATE credentials SET factor_generation = factor_generation + 1 WHERE user_id = :user_id::uuid;

-- name: settle_factors :affected
-- Stores whether the account has a factor. Changes nothing where a short password would be left alone, unless that is
-- meant.
UPDATE credentials SET has_factor = left_over.has_any
FROM (SELECT EXISTS (SELECT FROM factors AS f WHERE f.user_id = :user_id::uuid AND f.confirm_time IS NOT NULL) AS has_any)
  AS left_over
WHERE user_id = :user_id::uuid AND (left_over.has_any OR NOT needs_factor OR :forced::boolean);

-- name: remove_void_codes :exec
-- Removes the recovery codes of an account without a factor.
DELETE FROM recovery_codes AS r WHERE r.user_id = :user_id::uuid
  AND NOT EXISTS (SELECT FROM credentials AS c WHERE c.user_id = r.user_id AND c.has_factor);

-- ---- factors ----

-- name: add_factor :affected
-- Stores a factor that is to be confirmed, in place of one that is not confirmed yet. Does nothing where the account has
-- as many as it may. FAILED_PRECONDITION where it has no credential.
INSERT INTO factors (id, user_id, type, secret)
SELECT :id::uuid, :user_id::uuid, :type, :secret
WHERE (SELECT count(*) FROM factors AS f WHERE f.user_id = :user_id::uuid AND f.confirm_time IS NOT NULL) < :most::bigint
ON CONFLICT (user_id) WHERE confirm_time IS NULL
DO UPDATE SET id = excluded.id, type = excluded.type, secret = excluded.secret, tries = 0, create_time = now();

-- name: try_unconfirmed :one
-- Takes a try at confirming the account's new factor, and reads it.
UPDATE factors SET tries = tries + 1
WHERE user_id = :user_id::uuid AND confirm_time IS NULL AND tries < :most::bigint
  AND create_time > now() - :ttl_ms::bigint * interval '1 millisecond'
RETURNING id, secret;

-- name: confirm_factor :affected
UPDATE factors SET confirm_time = now(), last_step = :step
WHERE id = :id::uuid AND user_id = :user_id::uuid AND confirm_time IS NULL;

-- name: get_factor_secrets :many
SELECT id, secret, last_step FROM factors WHERE user_id = :user_id::uuid AND confirm_time IS NOT NULL;

-- name: use_step :affected
-- Spends a code: those of its step and of all before it are void. Of two calls with the same code, one wins.
UPDATE factors SET last_step = :step, use_time = now()
WHERE id = :id::uuid AND confirm_time IS NOT NULL AND last_step < :step;

-- name: delete_factor :affected
DELETE FROM factors WHERE id = :id::uuid AND user_id = :user_id::uuid AND confirm_time IS NOT NULL;

-- name: delete_factors :affected
-- Removes all factors of an account, and its passkeys, one of which would sign in alone.
WITH p AS (DELETE FROM passkeys WHERE user_id = :user_id::uuid)
DELETE FROM factors WHERE user_id = :user_id::uuid;

-- name: remove_proofs :one
-- not null: removed
-- Removes by what else than its password an account may be used and that was added after :since_us (microseconds since
-- 1970): factors, passkeys, API keys, whose tokens end, and with an authenticator app the recovery codes, which came
-- with it. API keys that the account has made for service accounts go, too. Counts all but the codes.
WITH f AS (
  DELETE FROM factors WHERE user_id = :user_id::uuid
    AND (confirm_time IS NULL OR extract(epoch FROM confirm_time) * 1000000 > :since_us::bigint)
  RETURNING confirm_time
), p AS (
  DELETE FROM passkeys
  WHERE user_id = :user_id::uuid AND extract(epoch FROM create_time) * 1000000 > :since_us::bigint RETURNING id
), k AS (
  DELETE FROM api_keys
  WHERE (user_id = :user_id::uuid OR creator_id = :user_id::uuid)
    AND extract(epoch FROM create_time) * 1000000 > :since_us::bigint
  RETURNING id, user_id
), e AS (
  INSERT INTO endings (user_id, session_id) SELECT user_id, id FROM k
), r AS (
  DELETE FROM recovery_codes
  WHERE user_id = :user_id::uuid AND EXISTS (SELECT FROM f WHERE confirm_time IS NOT NULL)
)
SELECT (SELECT count(*) FROM f) + (SELECT count(*) FROM p) + (SELECT count(*) FROM k) AS removed;

-- name: list_factors :many
-- row: auth.v1.Factor
SELECT id, type, '' AS name, create_time, use_time AS last_use_time FROM factors
WHERE user_id = :user_id::uuid AND confirm_time IS NOT NULL
UNION ALL
SELECT id, 'passkey', name, create_time, use_time FROM passkeys WHERE user_id = :user_id::uuid
ORDER BY create_time, id;

-- ---- recovery codes ----

-- name: replace_recovery_codes :affected
-- Stores the account's codes in place of those that it had, none of which is among the new ones.
WITH gone AS (DELETE FROM recovery_codes WHERE user_id = :user_id::uuid)
INSERT INTO recovery_codes (user_id, code_hash) SELECT :user_id::uuid, h FROM unnest(:hashes::text[]) AS h;

-- name: find_recovery_code :one
-- Tells whether the account has a recovery code. NOT_FOUND where it has not.
SELECT user_id FROM recovery_codes WHERE user_id = :user_id::uuid AND code_hash = :code_hash;

-- name: use_recovery_code :affected
DELETE FROM recovery_codes WHERE user_id = :user_id::uuid AND code_hash = :code_hash;

-- name: count_recovery_codes :one
-- not null: count
SELECT count(*) AS count FROM recovery_codes WHERE user_id = :user_id::uuid;

-- ---- challenges ----

-- name: get_second_step :one
-- not null: is_remembered, types, has_codes, since_s
-- Reads what a login with a factor goes on with: whether its device skips the second step, which types of factors there
-- are, whether recovery codes are left, and since when there has been a factor.
SELECT
  EXISTS (SELECT FROM remembered_devices AS r
          WHERE r.user_id = c.user_id AND r.device_id = :device_id? AND r.expire_time > now()
            AND r.password_set_us = :password_set_us::bigint AND r.factor_generation = :factor_generation::bigint)
    AS is_remembered,
  ARRAY(SELECT f.type FROM factors AS f WHERE f.user_id = c.user_id AND f.confirm_time IS NOT NULL
        UNION SELECT 'passkey' FROM passkeys AS p WHERE p.user_id = c.user_id ORDER BY 1)
    AS types,
  EXISTS (SELECT FROM recovery_codes AS k WHERE k.user_id = c.user_id) AS has_codes,
  coalesce((SELECT extract(epoch FROM min(f.confirm_time)) FROM factors AS f WHERE f.user_id = c.user_id), 0)::bigint
    AS since_s
FROM credentials AS c WHERE c.user_id = :user_id::uuid;

-- name: add_challenge :exec
-- FAILED_PRECONDITION where the account has no credential.
INSERT INTO login_challenges (token_hash, user_id, password_set_us, factor_generation, account, source,
  try_interval_ms, device_id, device_name, expire_time)
VALUES (:token_hash, :user_id::uuid, :password_set_us::bigint, :factor_generation::bigint, :account, :source,
  :try_interval_ms::bigint, :device_id?, :device_name, now() + :ttl_ms::bigint * interval '1 millisecond');

-- name: try_challenge :one
-- not null: has_tries, taken, wait_ms
-- Takes a try at a challenge from those of its source, which are a bucket of :burst that gets one back each
-- try_interval_ms (GCRA, as in common/base/gcra.h); where it is empty, the challenge keeps its try. NOT_FOUND for a
-- challenge that is unknown, over, or void because password or factors have changed.
WITH c AS (
  SELECT l.*, l.try_interval_ms * interval '1 millisecond' AS pause
  FROM login_challenges AS l JOIN credentials AS k USING (user_id)
  WHERE l.token_hash = :token_hash AND l.expire_time > now() AND l.factor_generation = k.factor_generation
    AND l.password_set_us = (extract(epoch FROM k.update_time) * 1000000)::bigint
  FOR UPDATE OF l
), t AS (
  INSERT INTO factor_tries AS f (user_id, source, full_time)
  SELECT user_id, source, now() + pause FROM c WHERE tries < :most::bigint
  ON CONFLICT (user_id, source) DO UPDATE
  SET full_time = greatest(f.full_time, now()) + (excluded.full_time - now())
  WHERE f.full_time <= now() + (:burst::bigint - 1) * (excluded.full_time - now())
  RETURNING f.user_id
), u AS (
  UPDATE login_challenges SET tries = login_challenges.tries + 1 FROM t WHERE token_hash = :token_hash
)
SELECT c.user_id, c.password_set_us, c.factor_generation, c.account, c.source, c.try_interval_ms, c.device_id,
  c.device_name, c.tries < :most::bigint AS has_tries, EXISTS (SELECT FROM t) AS taken,
  coalesce((SELECT extract(epoch FROM f.full_time - now()) * 1000 FROM factor_tries AS f
            WHERE f.user_id = c.user_id AND f.source = c.source), 0)::bigint
    - (:burst::bigint - 1) * c.try_interval_ms AS wait_ms
FROM c;

-- name: return_factor_try :exec
-- Gives a try back to its source.
UPDATE factor_tries SET full_time = full_time - :interval_ms::bigint * interval '1 millisecond'
WHERE user_id = :user_id::uuid AND source = :source;

-- name: use_challenge :affected
-- Of two calls with the same challenge, one wins.
DELETE FROM login_challenges WHERE token_hash = :token_hash AND expire_time > now();

-- ---- remembered devices ----

-- name: remember_device :exec
-- Remembers a device, and forgets those of the account that would be forgotten first beyond those that are kept.
WITH gone AS (
  DELETE FROM remembered_devices WHERE user_id = :user_id::uuid AND device_id IN (
    SELECT device_id FROM remembered_devices WHERE user_id = :user_id::uuid AND device_id <> :device_id
    ORDER BY expire_time DESC OFFSET :kept::bigint)
)
INSERT INTO remembered_devices (user_id, device_id, password_set_us, factor_generation, expire_time)
VALUES (:user_id::uuid, :device_id, :password_set_us::bigint, :factor_generation::bigint,
  now() + :ttl_ms::bigint * interval '1 millisecond')
ON CONFLICT (user_id, device_id) DO UPDATE
SET password_set_us = excluded.password_set_us, factor_generation = excluded.factor_generation,
  expire_time = excluded.expire_time;

-- ---- housekeeping ----

-- name: remove_old_challenges :affected
-- Removes challenges, remembered devices and new factors that are over, and buckets of tries that are full.
WITH t AS (DELETE FROM factor_tries WHERE full_time <= now()),
  r AS (DELETE FROM remembered_devices WHERE expire_time <= now()),
  f AS (DELETE FROM factors
        WHERE confirm_time IS NULL AND create_time < now() - :ttl_ms::bigint * interval '1 millisecond')
DELETE FROM login_challenges WHERE expire_time <= now();
