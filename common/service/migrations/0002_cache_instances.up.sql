-- compatible from: 0001
-- The instances that may serve what is cached while PostgreSQL is away: whoever is about to change something makes sure
-- that none of them does (common/storage/cache_outage_internal.h). An instance that ends takes its row away; the row of
-- one that has crashed is removed by the next that starts.
CREATE TABLE cache_instances (
  cache       text NOT NULL,
  -- Drawn at the start of the process.
  name        text NOT NULL,
  -- Where its RPC server is reached.
  address     text NOT NULL,
  -- The host since its boot, and the network namespace.
  host        text NOT NULL,
  -- Grows each time that the instance stores its row.
  generation  bigint NOT NULL,
  update_time timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (cache, name)
);
