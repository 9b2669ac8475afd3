// Instances of a cache that end in good order while PostgreSQL is away, and others that start: who stays serves on.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/storage/cache_outage_internal.h"
#include "tests/component/storage/cache_rig.h"

static struct server server;

static void setup(void)
{
  postgres_start(&server);
}

static void teardown(void)
{
  postgres_stop(&server);
}

TestSuite(cache_departures, .init = setup, .fini = teardown, .timeout = 120);

// ---- the rig ----

enum { COUNT = 3 };

struct crowd {
  struct instance instances[COUNT];
  struct source source;
};

static void start(struct world *world, struct crowd *crowd, size_t i)
{
  const char *conninfo = arena_printf(&world->arena, "host=%s user=test dbname=postgres", server.folder);
  instance_start_behind(world, &crowd->instances[i], conninfo, "");
}

// Begins a world without a schema, because the server is the test's own.
static void begin(struct world *world, struct crowd *crowd)
{
  *crowd = (struct crowd){.source = {.world = world, .value = 1}};
  snprintf(world->schema, sizeof(world->schema), "departures");
  const char *conninfo = arena_printf(&world->arena, "host=%s user=test dbname=postgres", server.folder);
  world->pg = pg_create(world->loop, &(struct pg_options){.conninfo = conninfo});
  cr_assert_eq(pg_wait_ready(world->pg), STATUS_OK);
  for (size_t i = 0; i < COUNT; i++)
    start(world, crowd, i);
}

static void end(struct world *world, struct crowd *crowd)
{
  for (size_t i = 0; i < COUNT; i++)
    if (crowd->instances[i].cache != NULL)
      instance_stop(&crowd->instances[i]);
  pg_free(&world->pg);
}

static void warm_all(struct world *world, struct crowd *crowd)
{
  for (size_t i = 0; i < COUNT; i++)
    instance_settle(world, &crowd->instances[i]);
  for (size_t i = 0; i < COUNT; i++)
    instance_warm(&crowd->instances[i], &crowd->source);
}

static bool serves_for_long(struct instance *instance)
{
  uint64_t end_us = deadline_after_ms(clock_now_us(), 4 * CACHE_LEASE_MS);
  while (clock_now_us() < end_us) {
    if (!instance_peek(instance))
      return false;
    cr_assert_eq(task_sleep_ms(5), STATUS_OK);
  }
  return true;
}

static size_t count_rows(struct world *world)
{
  return (size_t)strtoul(run_sql(world, "SELECT count(*) FROM cache_instances"), NULL, 10);
}

// ---- ends while PostgreSQL is down ----

// Two of three instances end one after the other; another one starts in the place of the first. Tells whether the third
// served all the time.
static bool replace_in_outage(struct world *world, struct crowd *crowd)
{
  struct instance *last = &crowd->instances[2];
  postgres_signal(&server, SIGKILL);
  bool serves = serves_for_long(last);
  instance_stop(&crowd->instances[0]);
  serves = serves && serves_for_long(last);
  start(world, crowd, 0);
  serves = serves && serves_for_long(last);
  instance_stop(&crowd->instances[1]);
  return serves && serves_for_long(last);
}

static void check_replaced(struct world *world)
{
  enum { TRIES = 4 };
  struct crowd crowd;
  begin(world, &crowd);
  warm_all(world, &crowd);
  bool served = replace_in_outage(world, &crowd);
  // A machine that is too busy for a round of questions within a lease gets another try.
  for (unsigned i = 1; i < TRIES && !served; i++) {
    postgres_restart(&server, true);
    start(world, &crowd, 1);
    warm_all(world, &crowd);
    served = replace_in_outage(world, &crowd);
  }
  cr_assert(served, "what is cached is not served once an instance has ended in good order");
  postgres_restart(&server, true);
  // The rows of those that ended are there still. The one that knows of their ends removes them.
  const struct slice key = SLICE("key");
  enum status status;
  do {
    struct cache_change *change = cache_change_begin(crowd.instances[0].cache, &key, 1);
    status = cache_change_confirm(change);
    if (status == STATUS_OK)
      crowd.source.value = 2;
    cache_change_end(&change, true);
  } while (status != STATUS_OK);
  cr_expect_eq(instance_get(&crowd.instances[2], &crowd.source), 2);
  while (count_rows(world) != 2)
    cr_assert_eq(task_sleep_ms(5), STATUS_OK);
  end(world, &crowd);
}

Test(cache_departures, instances_that_end_while_postgresql_is_down_take_nothing_from_the_others)
{
  with_loop(check_replaced);
}
