-- The tokens that mails carry: each is for one purpose, works once and ends by itself.

-- name: add_account_token :affected
-- scan: one account has a handful of tokens
-- Stores a token, unless the account has no credential, another password or another count of voided changes of
-- its address than is named, or has got as many of this purpose within the last hour. What changes these locks their
-- row first and spends tokens then, so it waits for this statement or makes it store nothing.
WITH c AS (
  SELECT user_id FROM credentials
  WHERE user_id = :user_id::uuid
    AND coalesce((extract(epoch FROM update_time) * 1000000)::bigint = :password_set_us?::bigint, true)
    AND coalesce(email_change_generation = :email_change_generation?::bigint, true)
  FOR SHARE
)
INSERT INTO account_tokens (token_hash, purpose, user_id, email, other_email, email_version, expire_time)
SELECT :token_hash, :purpose, c.user_id, :email, :other_email, :email_version,
       now() + :ttl_ms::bigint * interval '1 millisecond'
FROM c
WHERE (SELECT count(*) FROM account_tokens AS t
       WHERE t.user_id = :user_id::uuid AND t.purpose = :purpose AND t.create_time > now() - interval '1 hour')
  < :most::bigint;

-- name: get_account_token :one
SELECT user_id, email, has_factor FROM account_tokens JOIN credentials USING (user_id)
WHERE token_hash = :token_hash AND purpose = :purpose AND use_time IS NULL AND expire_time > now();

-- name: use_account_token :affected
-- Spends a token: of two calls with the same one, one wins.
UPDATE account_tokens SET use_time = now()
WHERE token_hash = :token_hash AND purpose = :purpose AND use_time IS NULL AND expire_time > now();

-- name: spend_account_tokens :exec
-- Spends all tokens of a purpose that an account has.
UPDATE account_tokens SET use_time = now()
WHERE user_id = :user_id::uuid AND purpose = :purpose AND use_time IS NULL;

-- name: spend_links :exec
-- Spends all links of an account except undo links and `token_hash`, which its own call spends.
UPDATE account_tokens SET use_time = now()
WHERE user_id = :user_id::uuid AND purpose <> 'undo_email' AND use_time IS NULL AND token_hash <> :token_hash;

-- name: spend_token :exec
-- Spends a token whose call is about to be answered.
UPDATE account_tokens SET use_time = now() WHERE token_hash = :token_hash AND use_time IS NULL;

-- name: spend_later_undos :exec
-- Spends the tokens of changes that came after this version of the address, and of their undos. Nothing follows such a
-- change any more, either: it would send a link that undoes the undo, and spend the one that the owner has got.
UPDATE account_tokens SET use_time = coalesce(use_time, now()), settle_time = now()
WHERE user_id = :user_id::uuid AND settle_time IS NULL
  AND ((purpose = 'undo_email' AND email_version > :email_version)
    OR (purpose = 'change_email' AND email_version >= :email_version));

-- name: get_email_token :one
-- not null: settled
-- Reads a token that confirms, changes or gives back an address, and may be used. One is settled where all of that was
-- done, but the call that it came with was lost.
SELECT purpose, user_id, email, other_email, email_version, settle_time IS NOT NULL AS settled FROM account_tokens
WHERE token_hash = :token_hash AND purpose <> 'reset_password' AND use_time IS NULL AND expire_time > now();

-- name: get_settled_token :one
-- not null: settled
-- Tells whether what follows a change or undo was done, whether or not its token may still be used.
SELECT purpose, settle_time IS NOT NULL AS settled FROM account_tokens
WHERE token_hash = :token_hash AND purpose IN ('change_email', 'undo_email');

-- name: lock_token_owner :one
-- not null: create_us
-- Locks the credential of a token's account, as whatever else changes both does first.
SELECT c.user_id, t.email_version, (extract(epoch FROM t.create_time) * 1000000)::bigint AS create_us
FROM account_tokens AS t JOIN credentials AS c ON c.user_id = t.user_id
WHERE t.token_hash = :token_hash FOR UPDATE OF c;

-- name: mark_token_settled :one
-- Notes that what follows a change or undo is done. No row where another call has done so before.
UPDATE account_tokens SET settle_time = now()
WHERE token_hash = :token_hash AND settle_time IS NULL
RETURNING token_hash, user_id, email, other_email, email_version;

-- name: void_password :exec
-- Puts a password that nobody knows in the place of one that was set in the day before the change that this token takes
-- back, or since. The one that the account was made with stays.
UPDATE credentials SET password_hash = :password_hash, update_time = now()
FROM account_tokens AS t
WHERE t.token_hash = :token_hash AND credentials.user_id = t.user_id
  AND credentials.update_time > t.create_time - interval '1 day' AND credentials.update_time > credentials.create_time;

-- name: count_new_device :one
-- Counts a login from a device that the account did not know. 0 for the first login of all; else how many of them came
-- within an hour.
WITH before AS (SELECT user_id, device_time IS NOT NULL AS logged_in FROM credentials WHERE user_id = :user_id::uuid)
UPDATE credentials SET
  device_mails = CASE WHEN NOT before.logged_in THEN 0
                      WHEN device_time > now() - interval '1 hour' THEN device_mails + 1 ELSE 1 END,
  device_time = CASE WHEN before.logged_in AND device_time > now() - interval '1 hour' THEN device_time ELSE now() END
FROM before WHERE credentials.user_id = before.user_id
RETURNING device_mails;

-- name: remove_old_account_tokens :affected
-- Removes what has ended, but for what still counts against the hour's limit, and what the user service may still report.
DELETE FROM account_tokens
WHERE expire_time <= now() AND create_time <= now() - interval '1 hour'
  AND (purpose IN ('reset_password', 'verify_email') OR settle_time IS NOT NULL
       OR create_time <= now() - interval '60 days');
