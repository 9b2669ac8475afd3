-- compatible from: 0001
-- Background work that survives its process (common/service/jobs.h). Whoever writes rows here by SQL of his own inserts
-- kind, key, payload and due_time; the rest is the workers'.
CREATE TABLE jobs (
  id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  kind        text NOT NULL CHECK (kind ~ '^[a-z][a-z0-9_]{0,62}$'),
  -- Names the work: a kind has one job with a key at a time, dead ones not counted. NULL for a job that is like no other.
  key         text CHECK (key <> '' AND octet_length(key) <= 200),
  payload     bytea NOT NULL DEFAULT '' CHECK (octet_length(payload) <= 262144),
  -- When the job is to be run; while one runs, when its lease ends.
  due_time    timestamptz NOT NULL DEFAULT now(),
  running     boolean NOT NULL DEFAULT false,
  -- How often the job was begun. With the id it names one run, which alone may end it.
  claims      integer NOT NULL DEFAULT 0,
  -- How many runs have failed, or have ended with their process.
  failures    integer NOT NULL DEFAULT 0,
  -- It was added once more while it ran.
  again       boolean NOT NULL DEFAULT false,
  -- Why the last run failed. It holds no secret.
  error       text,
  -- Since when nobody tries any more; NULL for a job that has not failed for good.
  dead_time   timestamptz,
  create_time timestamptz NOT NULL DEFAULT now()
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
        autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 1000);
CREATE UNIQUE INDEX jobs_key ON jobs (kind, key) WHERE dead_time IS NULL;
CREATE INDEX jobs_due ON jobs (kind, due_time) WHERE dead_time IS NULL;
CREATE INDEX jobs_dead ON jobs (kind, dead_time) WHERE dead_time IS NOT NULL;

-- Tells the workers of all processes in how many milliseconds a job is due. What is due later than that, they find by
-- looking now and then (JOBS_LOOK_MS).
CREATE FUNCTION jobs_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify(TG_TABLE_SCHEMA || '.jobs',
                    ceil(greatest(extract(epoch FROM NEW.due_time - clock_timestamp()) * 1000, 0))::bigint::text);
  RETURN NULL;
END
$$;
CREATE TRIGGER jobs_added AFTER INSERT ON jobs FOR EACH ROW
  WHEN (NEW.due_time < clock_timestamp() + interval '10 seconds') EXECUTE FUNCTION jobs_notify();
CREATE TRIGGER jobs_sooner AFTER UPDATE OF due_time ON jobs FOR EACH ROW
  WHEN (NEW.due_time < OLD.due_time AND NEW.due_time < clock_timestamp() + interval '10 seconds') EXECUTE FUNCTION jobs_notify();
