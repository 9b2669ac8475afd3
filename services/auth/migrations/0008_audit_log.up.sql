-- compatible from: 0001
-- The audit log. The service's role adds rows and reads them; it can neither change nor remove any. What is old goes by
-- audit_forget, which removes from the oldest end only, and nothing that is younger than a week.
CREATE TABLE audit_events (
  id           uuid PRIMARY KEY,
  create_time  timestamptz NOT NULL DEFAULT clock_timestamp(),
  action       text NOT NULL CHECK (action ~ '^[a-z]+(_[a-z]+)*(\.[a-z]+(_[a-z]+)*)*$' AND length(action) <= 64),
  result       text NOT NULL CHECK (result IN ('success', 'failure')),
  reason       text NOT NULL,  -- why it failed, or how it was done; '' where there is nothing to say
  actor_id     uuid,           -- who did it; NULL: nobody who has proven who he is, or an operator by a command
  user_id      uuid,           -- the account that it is about
  target_id    text NOT NULL,  -- what it was done to
  session_id   uuid,
  account_hash text NOT NULL,  -- stands for an address that no account has
  address      text NOT NULL,
  user_agent   text NOT NULL,
  trace_id     text NOT NULL
);
CREATE INDEX audit_events_by_create_time ON audit_events (create_time, id);
CREATE INDEX audit_events_by_actor ON audit_events (actor_id, create_time, id);
CREATE INDEX audit_events_by_user ON audit_events (user_id, create_time, id);
CREATE INDEX audit_events_by_target ON audit_events (target_id, create_time, id);
CREATE INDEX audit_events_by_action ON audit_events (action, create_time, id);

-- Events that the chain does not have yet. A row comes with its event, so writers do not wait for each other; one
-- instance at a time takes them in order.
CREATE TABLE audit_pending (
  number   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  event_id uuid NOT NULL UNIQUE
);

-- The chain: SHA-256 of the hash before, the position and the event. There is no foreign key, so that the chain shows
-- what is missing.
CREATE TABLE audit_links (
  position bigint PRIMARY KEY CHECK (position > 0),
  event_id uuid NOT NULL UNIQUE,
  hash     bytea NOT NULL
);

-- What the chain was at some time, signed: where it begins, where it ends, and the hashes there. The last one counts.
CREATE TABLE audit_heads (
  id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  create_time timestamptz NOT NULL DEFAULT now(),
  token       text NOT NULL
);

COMMENT ON TABLE audit_events IS 'append-only: only its owner may change or delete rows (deploy/postgres/bootstrap.sql)';
COMMENT ON TABLE audit_links IS 'append-only: only its owner may change or delete rows (deploy/postgres/bootstrap.sql)';
COMMENT ON TABLE audit_heads IS 'append-only: only its owner may change or delete rows (deploy/postgres/bootstrap.sql)';
DO $$
DECLARE
  other record;
BEGIN
  FOR other IN
    SELECT DISTINCT c.oid::regclass::text AS name, g.grantee::regrole::text AS role FROM pg_class AS c, aclexplode(c.relacl) AS g
    WHERE c.oid IN ('audit_events'::regclass, 'audit_links'::regclass, 'audit_heads'::regclass)
      AND g.grantee NOT IN (0, c.relowner)
  LOOP
    EXECUTE format('REVOKE UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER ON %s FROM %s', other.name, other.role);
  END LOOP;
END
$$;

-- Removes the oldest events of the chain, `most` at a time, that are older than `keep_ms`, and in any case than a week; and
-- heads of more than a week ago, but never the last one. Returns the last link that was removed; NULL where there was none.
CREATE FUNCTION audit_forget(keep_ms bigint, most bigint, OUT last_position bigint, OUT last_hash bytea)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = auth, pg_temp AS $$
DECLARE
  week CONSTANT interval := interval '7 days';
  young timestamptz := now() - greatest(keep_ms * interval '1 millisecond', week);
BEGIN
  SELECT max(l.position) INTO last_position FROM (
    SELECT o.position, bool_and(coalesce(e.create_time < young, true)) OVER (ORDER BY o.position) AS is_old
    FROM (SELECT position, event_id FROM audit_links ORDER BY position LIMIT most) AS o
    LEFT JOIN audit_events AS e ON e.id = o.event_id) AS l
  WHERE l.is_old;
  SELECT hash INTO last_hash FROM audit_links WHERE position = last_position;
  DELETE FROM audit_events WHERE id IN (SELECT event_id FROM audit_links WHERE position <= last_position);
  DELETE FROM audit_links WHERE position <= last_position;
  DELETE FROM audit_heads WHERE create_time < now() - week AND id < (SELECT max(id) FROM audit_heads);
END
$$;
