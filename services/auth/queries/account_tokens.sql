-- The tokens that mails carry: each is for one purpose, works once and ends by itself.

-- name: add_account_token :affected
-- scan: one account has a handful of tokens
-- Stores a token, unless the account has got as many of this purpose within the last hour. FAILED_PRECONDITION where the
-- account has no credential.
INSERT INTO account_tokens (token_hash, purpose, user_id, email, expire_time)
SELECT :token_hash, :purpose, :user_id::uuid, :email, now() + :ttl_ms::bigint * interval '1 millisecond'
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

-- name: remove_old_account_tokens :affected
-- Removes what has ended, but for what still counts against the hour's limit.
DELETE FROM account_tokens WHERE expire_time <= now() AND create_time <= now() - interval '1 hour';
