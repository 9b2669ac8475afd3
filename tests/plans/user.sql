-- 100,000 accounts and jobs, and what the parameters of user's queries are. `make plans` fills the tables with it.
-- sample id: '00000000-0000-7000-8000-000000000007'
-- sample email: 'user7@example.com'
-- sample display_name: 'Ada'
-- sample etag: '1'
-- sample q: 'user77'
-- sample actor: '\x07'
-- sample version: 1
-- sample hold_ms: 1000
-- sample cause: 'cause7'
-- sample sends_mail: true
-- sample after_create_time: 1700000000000000
-- sample after_id: '00000000-0000-7000-8000-000000000007'
INSERT INTO users (id, email, display_name, create_time)
SELECT ('00000000-0000-7000-8000-' || lpad(i::text, 12, '0'))::uuid, 'user' || i || '@example.com', 'User ' || i,
       timestamptz '2020-01-01' + i * interval '20 minutes'
FROM generate_series(1, 100000) AS i;
INSERT INTO jobs (kind, key, due_time)
SELECT 'remove_credential', '00000000-0000-7000-8000-' || lpad(i::text, 12, '0'), now() + i * interval '1 minute'
FROM generate_series(1, 100000) AS i;
INSERT INTO held_addresses (email, user_id, expire_time)
SELECT 'held' || email, id, now() + (create_time - timestamptz '2020-01-02') FROM users;
