-- 100,000 credentials, roles and sessions, and what the parameters of auth's queries are. `make plans` fills the tables
-- with it.
-- sample id: '00000000-0000-7000-9000-000000000001'
-- sample user_id: '00000000-0000-7000-8000-000000000007'
-- sample user_ids: ARRAY['00000000-0000-7000-8000-000000000007']::uuid[]
-- sample password_hash: 'hash'
-- sample new_hash: 'new'
-- sample old_hash: 'old'
-- sample role: 'admin'
-- sample token_hash: '\x07'
-- sample ttl_ms: 1000
-- sample family_hash: '\x07'
-- sample legacy_hash: '\x07'
-- sample device_name: 'name'
-- sample address: '192.0.2.7'
-- sample max_age_ms: 1000000
-- sample branch: 1
-- sample number: 1
-- sample kept: 3
-- sample since: 99990
-- sample most: 1000
-- sample session_id: '00000000-0000-7000-8000-000000000007'
-- sample kept_id: '00000000-0000-7000-9000-000000000002'
-- sample current_id: '00000000-0000-7000-9000-000000000002'
-- sample kid: 'kid7'
-- sample sealed: '\x07'
-- sample sealed_before: '\x07'
-- sample old_sealed: '\x07'
-- sample longest_ttl_ms: 1000
-- sample sign_ms: 1000
-- sample signs_now: true
-- sample name: 'secret7'
-- sample purpose: 'reset_password'
-- sample email: 'ada7@example.com'
-- sample password_set_us: 1
-- sample email_change_generation: 1
-- sample token_generation: 1
-- sample generation: 1
-- sample credential_id: '\x07'
-- sample public_key: '\x07'
-- sample algorithm: -7
-- sample sign_count: 1
-- sample transports: 'internal'
-- sample challenge_hash: '\x07'
-- sample keep_ms: 1000
-- sample action: 'session.end'
-- sample result: 'success'
-- sample reason: ''
-- sample actor_id: '00000000-0000-7000-8000-000000000007'
-- sample target_id: '00000000-0000-7000-8000-000000000007'
-- sample account_hash: ''
-- sample user_agent: 'agent'
-- sample trace_id: ''
-- sample start_time: timestamptz '2023-11-14'
-- sample end_time: timestamptz '2027-01-15'
-- sample first: 200001
-- sample event_ids: ARRAY['00000000-0000-7000-8000-000000000007']::uuid[]
-- sample hashes: ARRAY['07']
-- sample token: 'token'
-- sample after: 500
-- sample after_create_time: 1700000000000000
-- sample after_id: '00000000-0000-7000-8000-000000000007'
-- sample creator_id: '00000000-0000-7000-8000-000000000007'
-- sample key_hash: '\x07'
-- sample key_prefix: 'bhk_01234567'
-- sample expire_time: '2100-01-01T00:00:00Z'
-- sample ids: '{00000000-0000-7000-8000-000000000007}'
-- sample factor_generation: 1
-- sample needs_factor: false
-- sample forced: false
-- sample type: 'totp'
-- sample secret: '\x07'
-- sample step: 7
-- sample code_hash: 'hash7'
-- sample device_id: '\x07'
-- sample account: 'ada'
-- sample source: 'unknown devices'
-- sample try_interval_ms: 300000
-- sample interval_ms: 300000
-- sample burst: 10
-- sample names: ARRAY['admin']
-- sample roles: ARRAY['admin']
-- sample permissions: ARRAY['items:read']
-- sample scopes: ARRAY['items:read']
-- sample previous_id: '00000000-0000-7000-8000-000000000007'
-- sample other_email: ''
-- sample email_version: 1
-- sample since_us: 1
-- sample etag: '1'
INSERT INTO credentials (user_id, password_hash)
SELECT ('00000000-0000-7000-8000-' || lpad(i::text, 12, '0'))::uuid, 'hash' || i FROM generate_series(1, 100000) AS i;
INSERT INTO roles (user_id, role) SELECT user_id, 'admin' FROM credentials;
INSERT INTO role_definitions (name, permissions) SELECT 'secret' || i, '{items:read}' FROM generate_series(1, 100000) AS i;
INSERT INTO sessions (id, user_id, token_hash, expire_time)
SELECT user_id, user_id, sha256(convert_to(password_hash, 'UTF8')),
       now() + (row_number() OVER ()) * interval '1 second' - interval '10 seconds'
FROM credentials;
INSERT INTO session_branches (session_id, number, token_hash) SELECT id, 1, token_hash FROM sessions;
INSERT INTO endings (transaction, user_id, session_id, expire_time)
SELECT row_number() OVER (), user_id, id, expire_time FROM sessions;
INSERT INTO signing_keys (kid, sealed) SELECT 'kid' || i, '\x07' FROM generate_series(1, 100000) AS i;
INSERT INTO stored_secrets (name, sealed) SELECT 'secret' || i, '\x07' FROM generate_series(1, 100000) AS i;
INSERT INTO account_tokens (token_hash, purpose, user_id, email, expire_time)
SELECT sha256(convert_to(password_hash, 'UTF8')), 'reset_password', user_id, 'ada@example.com', now() + interval '1 hour' FROM credentials;
INSERT INTO passkeys (id, user_id, credential_id, public_key, algorithm, sign_count, transports, name)
SELECT user_id, user_id, sha256(convert_to(password_hash, 'UTF8')), '\x07', -7, 0, '{}', 'key' FROM credentials;
INSERT INTO spent_challenges (challenge_hash, expire_time)
SELECT token_hash, expire_time FROM sessions;
INSERT INTO audit_events (id, create_time, action, result, reason, actor_id, user_id, target_id, account_hash, address, user_agent, trace_id)
SELECT user_id, timestamptz '2020-01-01' + row_number() OVER () * interval '20 minutes', 'act.a' || chr(97 + (row_number() OVER () % 26)::int), 'success', '',
       user_id, user_id, user_id, '', '', '', ''
FROM credentials;
INSERT INTO audit_pending (event_id) SELECT id FROM audit_events;
INSERT INTO audit_links (position, event_id, hash) SELECT row_number() OVER (), id, '\x07' FROM audit_events;
INSERT INTO audit_heads (token) SELECT 'token' FROM audit_events;
INSERT INTO api_keys (id, user_id, creator_id, name, key_hash, key_prefix, expire_time)
SELECT user_id, user_id, user_id, 'name', sha256(convert_to(password_hash, 'UTF8')), 'bhk_01234567',
       now() + (row_number() OVER ()) * interval '1 second'
FROM credentials;
INSERT INTO factors (id, user_id, type, secret, confirm_time)
SELECT user_id, user_id, 'totp', '\x07', now() FROM credentials;
INSERT INTO factors (id, user_id, type, secret, create_time)
SELECT overlay(user_id::text PLACING 'a' FROM 20)::uuid, user_id, 'totp', '\x07',
       now() + (row_number() OVER ()) * interval '1 second' - interval '10 seconds'
FROM credentials;
INSERT INTO recovery_codes (user_id, code_hash) SELECT user_id, password_hash FROM credentials;
INSERT INTO login_challenges (token_hash, user_id, password_set_us, factor_generation, account, source, try_interval_ms,
                              device_name, expire_time)
SELECT sha256(convert_to(password_hash, 'UTF8')), user_id, 1, 1, 'ada', 'unknown devices', 300000, 'name',
       now() + (row_number() OVER ()) * interval '1 second' - interval '10 seconds'
FROM credentials;
INSERT INTO factor_tries (user_id, source, full_time)
SELECT user_id, 'unknown devices', now() + (row_number() OVER ()) * interval '1 second' - interval '10 seconds'
FROM credentials;
INSERT INTO remembered_devices (user_id, device_id, password_set_us, factor_generation, expire_time)
SELECT user_id, '\x07', 1, 1, now() + (row_number() OVER ()) * interval '1 second' - interval '10 seconds'
FROM credentials;
INSERT INTO credentials (user_id, is_service)
SELECT ('00000000-0000-7000-a000-' || lpad(i::text, 12, '0'))::uuid, true FROM generate_series(1, 100000) AS i;
INSERT INTO service_accounts (id, name, create_time)
SELECT user_id, 'robot', timestamptz '2020-01-01' + row_number() OVER () * interval '20 minutes'
FROM credentials WHERE is_service;
