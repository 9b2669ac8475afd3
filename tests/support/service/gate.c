#include "tests/support/service/gate.h"

#include <stdio.h>

void gate_close(struct database *database, const char *event)
{
  database_sql(database,
               "CREATE TABLE IF NOT EXISTS public.gate ();"
               "DELETE FROM public.gate;"
               "CREATE OR REPLACE FUNCTION public.wait_for_gate() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS"
               " 'BEGIN WHILE NOT EXISTS (SELECT FROM public.gate) LOOP PERFORM pg_sleep(0.01); END LOOP;"
               "  RETURN NEW; END';"
               "CREATE OR REPLACE TRIGGER gate BEFORE %s EXECUTE FUNCTION public.wait_for_gate()",
               event);
}

void gate_open(struct database *database)
{
  database_sql(database, "INSERT INTO public.gate DEFAULT VALUES");
}

static void wait_for(struct database *database, const char *where, int count)
{
  char query[256], expected[16];
  snprintf(query, sizeof(query),
           "SELECT count(*) FROM pg_stat_activity WHERE usename = 'bulkhead_auth' AND datname = current_database()"
           " AND %s",
           where);
  snprintf(expected, sizeof(expected), "%d", count);
  database_wait_sql(database, query, expected);
}

void gate_wait_one(struct database *database)
{
  wait_for(database, "wait_event = 'PgSleep'", 1);
}

void gate_wait_locks(struct database *database, int count)
{
  wait_for(database, "wait_event_type = 'Lock'", count);
}

void gate_race(struct database *database, const char *event, const struct prepared_call *first,
               const struct prepared_call *second, struct outcome outcomes[2])
{
  gate_close(database, event);
  driver_begin_prepared(first, &outcomes[0]);
  gate_wait_one(database);
  driver_begin_prepared(second, &outcomes[1]);
  gate_wait_locks(database, 1);
  gate_open(database);
  driver_finish(first->driver, &outcomes[0]);
  driver_finish(second->driver, &outcomes[1]);
}
