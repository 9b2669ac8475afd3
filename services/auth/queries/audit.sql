-- The audit log. The service may add rows to it and read them, nothing else.

-- fragment: event
id, create_time, action, result, reason, actor_id, user_id, target_id, session_id, account_hash, address, user_agent, trace_id;

-- name: add_audit_event :exec
-- Adds an event, and what tells the chain of it.
WITH added AS (
  INSERT INTO audit_events (id, action, result, reason, actor_id, user_id, target_id, session_id, account_hash, address,
                            user_agent, trace_id)
  VALUES (:id::uuid, :action, :result, :reason, :actor_id?::uuid, :user_id?::uuid, :target_id, :session_id?::uuid,
          :account_hash, :address, :user_agent, :trace_id)
  RETURNING id
)
INSERT INTO audit_pending (event_id) SELECT id FROM added;

-- name: list_audit_events :page
-- row: auth.v1.AuditEvent
-- request: auth.v1.ListAuditEventsRequest
-- response: auth.v1.ListAuditEventsResponse
-- page: 50
-- filter actor_id: actor_id = :actor_id::uuid
-- filter target_id: target_id = :target_id
-- filter action: action = :action
-- order createTime: create_time, id
-- default: createTime desc
SELECT {event} FROM audit_events
WHERE create_time >= :start_time::timestamptz AND create_time < :end_time::timestamptz AND {filters}
ORDER BY {order} LIMIT {limit};

-- name: list_own_audit_events :page
-- row: auth.v1.AuditEvent
-- request: auth.v1.ListOwnAuditEventsRequest
-- response: auth.v1.ListAuditEventsResponse
-- page: 50
-- filter action: action = :action
-- order createTime: create_time, id
-- default: createTime desc
-- What others have done to the account is shown without where they were.
SELECT id, create_time, action, result, reason, actor_id, user_id, target_id,
  CASE WHEN actor_id <> user_id THEN NULL ELSE session_id END AS session_id, account_hash,
  CASE WHEN actor_id <> user_id THEN '' ELSE address END AS address,
  CASE WHEN actor_id <> user_id THEN '' ELSE user_agent END AS user_agent,
  trace_id
FROM audit_events WHERE user_id = :user_id::uuid AND {filters} ORDER BY {order} LIMIT {limit};

-- ---- the chain ----

-- fragment: record
ARRAY[e.id::text, (extract(epoch FROM e.create_time) * 1000000)::bigint::text, e.action, e.result, e.reason,
  coalesce(e.actor_id::text, ''), coalesce(e.user_id::text, ''), e.target_id, coalesce(e.session_id::text, ''),
  e.account_hash, e.address, e.user_agent, e.trace_id];

-- name: is_audit_event_pending :one
-- not null: pending
SELECT min(number) IS NOT NULL AS pending FROM audit_pending;

-- name: try_lock_audit_chain :one
-- writes: it takes a lock
-- not null: locked
-- Keeps others from the chain until the transaction ends, unless somebody else does so. The number stands for nothing.
SELECT pg_try_advisory_xact_lock(7310293) AS locked;

-- name: lock_audit_chain :one
-- writes: it takes a lock
-- not null: locked
SELECT pg_advisory_xact_lock(7310293)::text = '' AS locked;

-- name: take_audit_events :many
-- not null: columns
-- Takes the oldest pending events, in order.
WITH taken AS (
  DELETE FROM audit_pending
  WHERE number = ANY (ARRAY(SELECT number FROM audit_pending ORDER BY number LIMIT :most::bigint))
  RETURNING number, event_id
)
SELECT e.id, {record} AS columns FROM taken AS t JOIN audit_events AS e ON e.id = t.event_id
WHERE (SELECT l.position FROM audit_links AS l WHERE l.event_id = e.id) IS NULL
ORDER BY t.number;

-- name: add_audit_links :exec
INSERT INTO audit_links (position, event_id, hash)
SELECT :first::bigint + v.place - 1, v.event_id, decode(v.hash, 'hex')
FROM unnest(:event_ids::uuid[], :hashes::text[]) WITH ORDINALITY AS v(event_id, hash, place);

-- name: get_last_audit_link :one
SELECT position, hash FROM audit_links ORDER BY position DESC LIMIT 1;

-- name: get_audit_head :one
SELECT token FROM audit_heads ORDER BY id DESC LIMIT 1;

-- name: add_audit_head :exec
INSERT INTO audit_heads (token) VALUES (:token);

-- name: forget_audit_events :one
-- writes: the function removes rows
-- nullable: last_position, last_hash
SELECT last_position, last_hash FROM audit_forget(:keep_ms::bigint, :most::bigint);

-- name: walk_audit_chain :many
-- not null: columns
-- Lists links with their events, from a position on. A link whose event is missing has no columns.
SELECT l.position, l.hash, l.event_id, CASE WHEN e.id IS NULL THEN '{}' ELSE {record} END AS columns
FROM audit_links AS l LEFT JOIN audit_events AS e ON e.id = l.event_id
WHERE l.position > :after::bigint ORDER BY l.position LIMIT :most::bigint;

-- name: count_audit_events_outside :one
-- scan: it looks at the whole log, by an operator's command
-- not null: pending, lost
-- Counts the events that wait for the chain, and those that nothing will add to it.
SELECT (SELECT count(*) FROM audit_pending) AS pending,
  (SELECT count(*) FROM audit_events AS e WHERE NOT EXISTS (SELECT FROM audit_links AS l WHERE l.event_id = e.id)
   AND NOT EXISTS (SELECT FROM audit_pending AS p WHERE p.event_id = e.id)) AS lost;
