-- Sessions, each with the roles and the generation of tokens that its account has now.

-- fragment: session
s.id, s.user_id, floor(extract(epoch FROM s.create_time))::bigint AS auth_time,
ARRAY(SELECT role FROM roles WHERE roles.user_id = s.user_id ORDER BY role) AS roles,
ARRAY(SELECT DISTINCT p FROM roles r, unnest((SELECT d.permissions FROM role_definitions d WHERE d.name = r.role)) AS p
      WHERE r.user_id = s.user_id ORDER BY p) AS permissions,
(SELECT token_generation FROM credentials WHERE credentials.user_id = s.user_id) AS generation;

-- fragment: renewed
use_time = now(), address = :address,
expire_time = least(now() + :ttl_ms::bigint * interval '1 millisecond',
                    create_time + :max_age_ms::bigint * interval '1 millisecond');

-- fragment: alive
expire_time > now() AND create_time > now() - :max_age_ms::bigint * interval '1 millisecond';

-- fragment: void_changes
UPDATE account_tokens SET use_time = now() FROM c
WHERE account_tokens.user_id = c.user_id AND purpose = 'change_email' AND use_time IS NULL;

-- name: add_session :one
-- not null: roles, permissions, auth_time, generation
-- Stores a session, unless the account has another password by now than the one that was compared (its set_us), or
-- other factors. What changes a password locks its row first and ends the sessions then, so it waits for this statement
-- or makes it find no row. The lock is that of an update, because the transaction may update the row afterwards
-- (count_new_device): two logins that shared it would wait for each other.
WITH c AS (
  SELECT user_id FROM credentials
  WHERE user_id = :user_id::uuid AND (extract(epoch FROM update_time) * 1000000)::bigint = :password_set_us::bigint
    AND factor_generation = :factor_generation::bigint
    AND suspend_time IS NULL AND NOT is_service
  FOR NO KEY UPDATE
), s AS (
  INSERT INTO sessions
    (id, user_id, token_hash, current_hash, family_hash, device_name, address, factor_generation, expire_time)
  SELECT :id::uuid, c.user_id, :token_hash, :token_hash, :family_hash, :device_name, :address,
         :factor_generation::bigint, now() + least(:ttl_ms::bigint, :max_age_ms::bigint) * interval '1 millisecond'
  FROM c
  RETURNING id, user_id, create_time
)
SELECT {session} FROM s;

-- name: rotate_session :gathered
-- row: auth.v1.RotatedSession
-- params: auth.v1.SessionRotation[] as rotation
-- not null: roles, permissions, auth_time, generation
-- Replaces the token of a session's branch 0, in one statement: of two calls with the same token, one wins.
WITH s AS (
  UPDATE sessions SET token_hash = decode(v.new_hash, 'hex'), current_hash = decode(v.new_hash, 'hex'),
    previous_hash = decode(v.old_hash, 'hex'), spend_time = now(), use_time = now(), address = v.new_address,
    expire_time = least(now() + v.ttl_ms * interval '1 millisecond',
                        create_time + v.max_age_ms * interval '1 millisecond')
  FROM unnest(:rotation.session_id::uuid[], :rotation.old_hash::text[], :rotation.new_hash::text[],
              :rotation.address::text[], :rotation.ttl_ms::bigint[], :rotation.max_age_ms::bigint[])
       WITH ORDINALITY AS v(key, old_hash, new_hash, new_address, ttl_ms, max_age_ms, place)
  WHERE id = v.key AND token_hash = decode(v.old_hash, 'hex')
    AND expire_time > now() AND create_time > now() - v.max_age_ms * interval '1 millisecond'
  RETURNING id, user_id, create_time, v.place
)
SELECT {session}, s.place FROM s;

-- name: adopt_session :one
-- not null: roles, permissions, auth_time, generation
-- Replaces a token that a release before has made, and begins a family.
WITH s AS (
  UPDATE sessions SET token_hash = :new_hash, current_hash = :new_hash, previous_hash = :old_hash, spend_time = now(),
    legacy_hash = :old_hash, family_hash = :family_hash, {renewed}
  WHERE id = :id::uuid AND token_hash = :old_hash AND {alive}
  RETURNING id, user_id, create_time
)
SELECT {session} FROM s;

-- name: rotate_branch :one
-- not null: roles, permissions, auth_time, generation
-- Replaces the token of another branch, and renews its session.
WITH b AS (
  UPDATE session_branches SET token_hash = :new_hash, previous_hash = :old_hash, use_time = now()
  WHERE session_id = :id::uuid AND number = :branch AND token_hash = :old_hash
  RETURNING session_id
), s AS (
  UPDATE sessions SET {renewed}
  FROM b WHERE id = b.session_id AND {alive}
  RETURNING id, user_id, create_time
)
SELECT {session} FROM s;

-- name: lock_session :one
-- nullable: spent_ms
-- Reads what decides on a token that is not current, and keeps others from the session until the transaction ends.
-- spent_ms is how long ago branch 0 has spent its last token.
SELECT id, user_id, family_hash, last_branch,
  CASE WHEN token_hash = current_hash THEN previous_hash ELSE coalesce(current_hash, previous_hash) END AS spent_hash,
  (extract(epoch FROM now() - CASE WHEN token_hash = current_hash THEN spend_time ELSE use_time END) * 1000)::bigint
    AS spent_ms
FROM sessions WHERE id = :id::uuid AND {alive} FOR UPDATE;

-- name: find_legacy_session :one
-- Finds the session of a token that a release before has made, spent or not.
SELECT id FROM sessions WHERE token_hash = :token_hash OR legacy_hash = :token_hash;

-- name: get_branch :one
SELECT previous_hash AS spent_hash, (extract(epoch FROM now() - use_time) * 1000)::bigint AS spent_ms
FROM session_branches WHERE session_id = :session_id::uuid AND number = :number;

-- name: add_branch :one
-- not null: roles, permissions, auth_time, generation
-- Adds the next branch of a session that is locked, renews the session, and removes the branches that were used longest
-- ago beyond those that are kept.
WITH s AS (
  UPDATE sessions SET last_branch = last_branch + 1, {renewed}
  WHERE id = :id::uuid RETURNING id, user_id, create_time, last_branch
), b AS (
  INSERT INTO session_branches (session_id, number, token_hash) SELECT id, last_branch, :new_hash FROM s
), gone AS (
  DELETE FROM session_branches WHERE session_id = :id::uuid AND number IN (
    SELECT number FROM session_branches WHERE session_id = :id::uuid
    ORDER BY use_time DESC, number DESC OFFSET :kept::bigint)
)
SELECT {session} FROM s;

-- name: hold_session :one
-- Keeps a session of a user until the transaction ends. NOT_FOUND where it has ended, or where the account's tokens are
-- of a later generation than the caller's. A token that names no generation is of the first.
SELECT s.id FROM sessions AS s JOIN credentials AS c ON c.user_id = s.user_id
WHERE s.id = :id::uuid AND s.user_id = :user_id::uuid
  AND c.token_generation <= greatest(:generation::bigint, 1)
FOR KEY SHARE OF s;

-- ---- the end of sessions ----

-- name: end_reused_session :affected
-- Ends a session, which is locked, of a user.
WITH gone AS (DELETE FROM sessions WHERE id = :id::uuid AND user_id = :user_id::uuid RETURNING id, user_id)
INSERT INTO endings (user_id, session_id) SELECT user_id, id FROM gone;

-- name: end_session :affected
-- Ends a session of a user, and voids the changes of its address that the account has asked for: those whose link waits
-- to be opened, and those whose mail is not written yet. Which session has asked does not matter; a thief's may have
-- ended since. Locks the account before the session, as acts that outlive a session do.
WITH c AS (
  UPDATE credentials SET email_change_generation = email_change_generation + 1
  WHERE user_id = :user_id::uuid
    AND EXISTS (SELECT FROM sessions WHERE sessions.id = :id::uuid AND sessions.user_id = :user_id::uuid)
  RETURNING user_id
), voided AS (
  {void_changes}
), gone AS (
  DELETE FROM sessions USING c WHERE sessions.id = :id::uuid AND sessions.user_id = c.user_id
  RETURNING sessions.id, sessions.user_id
)
INSERT INTO endings (user_id, session_id) SELECT user_id, id FROM gone;

-- name: log_out :one
-- not null: session_id
-- Ends the session of a token: by the secret of its family, or of a release before by the token itself.
WITH gone AS (
  DELETE FROM sessions WHERE (id = :id?::uuid AND family_hash = :family_hash?)
    OR token_hash = :token_hash OR legacy_hash = :token_hash
  RETURNING id, user_id
)
INSERT INTO endings (user_id, session_id) SELECT user_id, id FROM gone
RETURNING user_id, session_id;

-- name: end_other_sessions :affected
-- Ends the sessions of a user but one, and voids changes of the address as end_session does.
WITH c AS (
  UPDATE credentials SET email_change_generation = email_change_generation + 1 WHERE user_id = :user_id::uuid
  RETURNING user_id
), voided AS (
  {void_changes}
), gone AS (
  DELETE FROM sessions USING c WHERE sessions.user_id = c.user_id AND sessions.id <> :kept_id::uuid
  RETURNING sessions.id, sessions.user_id
)
INSERT INTO endings (user_id, session_id) SELECT user_id, id FROM gone;

-- name: end_surplus_sessions :affected
-- Ends the sessions of a user that were used longest ago beyond those that are kept.
WITH gone AS (
  DELETE FROM sessions WHERE id IN (
    SELECT id FROM sessions WHERE user_id = :user_id::uuid ORDER BY use_time DESC, id DESC OFFSET :kept::bigint)
  RETURNING id, user_id
)
INSERT INTO endings (user_id, session_id) SELECT user_id, id FROM gone;

-- name: end_all_sessions :affected
-- Ends all sessions of a user, and voids changes of the address as end_session does; the account's tokens are of
-- a new generation.
WITH c AS (
  UPDATE credentials SET token_generation = token_generation + 1,
    email_change_generation = email_change_generation + 1
  WHERE user_id = :user_id::uuid
  RETURNING user_id, token_generation
), gone AS (
  DELETE FROM sessions WHERE user_id = :user_id::uuid
), voided AS (
  {void_changes}
)
INSERT INTO endings (user_id, generation) SELECT user_id, token_generation FROM c;

-- name: end_tokens :affected
-- Begins a new generation of a user's access tokens. His sessions go on: a refresh gives tokens of the new one.
WITH c AS (
  UPDATE credentials SET token_generation = token_generation + 1 WHERE user_id = :user_id::uuid
  RETURNING user_id, token_generation
)
INSERT INTO endings (user_id, generation) SELECT user_id, token_generation FROM c;

-- name: remove_expired_sessions :affected
DELETE FROM sessions WHERE expire_time <= now();

-- name: remove_expired_endings :affected
DELETE FROM endings WHERE expire_time <= now();

-- ---- what users see of their sessions ----

-- name: list_sessions :many
-- row: auth.v1.Session
-- not null: current
SELECT id, device_name, address, create_time, use_time AS last_use_time,
  coalesce(id = :current_id?::uuid, false) AS current
FROM sessions WHERE user_id = :user_id::uuid AND expire_time > now() ORDER BY use_time DESC, id DESC;

-- name: name_session :one
-- row: auth.v1.Session
-- not null: current
UPDATE sessions SET device_name = :device_name
WHERE id = :id::uuid AND user_id = :user_id::uuid AND expire_time > now()
RETURNING id, device_name, address, create_time, use_time AS last_use_time,
  coalesce(id = :current_id?::uuid, false) AS current;
