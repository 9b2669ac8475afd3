// The cache while PostgreSQL is away: for all instances, for one of them, and while instances come and go.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/storage/cache_outage_internal.h"
#include "tests/component/storage/cache_rig.h"
#include "tests/component/storage/names.h"

static struct server server;
// The ways of three instances to PostgreSQL.
static struct front ways[3];

static void open_way(struct front *way)
{
  char path[96];
  snprintf(path, sizeof(path), "%s/.s.PGSQL.5432", server.folder);
  front_open(way, path);
}

static void setup(void)
{
  postgres_start(&server);
  for (size_t i = 0; i < ARRAY_LEN(ways); i++)
    open_way(&ways[i]);
}

static void teardown(void)
{
  for (size_t i = 0; i < ARRAY_LEN(ways); i++)
    front_close(&ways[i]);
  postgres_stop(&server);
}

TestSuite(cache_siblings, .init = setup, .fini = teardown, .timeout = 120);

// ---- the rig ----

struct trio {
  struct instance instances[3];
  struct source source;
};

static void start(struct world *world, struct trio *trio, size_t i)
{
  instance_start_behind(world, &trio->instances[i],
                        arena_printf(&world->arena, "host=127.0.0.1 port=%u user=test dbname=postgres", ways[i].port),
                        "");
}

// Begins a world without a schema: the server is the test's own.
static void begin(struct world *world, struct trio *trio)
{
  *trio = (struct trio){.source = {.world = world, .value = 1}};
  snprintf(world->schema, sizeof(world->schema), "siblings");
  const char *conninfo = arena_printf(&world->arena, "host=%s user=test dbname=postgres", server.folder);
  world->pg = pg_create(world->loop, &(struct pg_options){.conninfo = conninfo});
  cr_assert_eq(pg_wait_ready(world->pg), STATUS_OK);
}

static void begin_with(struct world *world, struct trio *trio, size_t count)
{
  begin(world, trio);
  for (size_t i = 0; i < count; i++)
    start(world, trio, i);
  for (size_t i = 0; i < count; i++)
    instance_settle(world, &trio->instances[i]);
  for (size_t i = 0; i < count; i++)
    instance_warm(&trio->instances[i], &trio->source);
}

static void end(struct world *world, struct trio *trio)
{
  for (size_t i = 0; i < ARRAY_LEN(trio->instances); i++)
    if (trio->instances[i].cache != NULL)
      instance_stop(&trio->instances[i]);
  pg_free(&world->pg);
}

// Cuts an instance off from PostgreSQL: nothing passes either way.
static void cut(size_t i)
{
  cr_assert_eq(kill(ways[i].pid, SIGSTOP), 0);
}

static void join(size_t i)
{
  cr_assert_eq(kill(ways[i].pid, SIGCONT), 0);
}

// Waits until the instance serves by what others have promised: it was asked, and asks, more often than fits into a
// lease.
static void await_rounds(const struct instance *asked)
{
  unsigned enough = asked->asked + 3 * CACHE_LEASE_MS / 100;
  while (asked->asked < enough)
    cr_assert_eq(task_sleep_ms(5), STATUS_OK);
}

static void await_silence(struct instance *instance)
{
  while (instance_peek(instance))
    cr_assert_eq(task_sleep_ms(5), STATUS_OK);
}

static enum status try_to_change(struct instance *instance, struct source *source, int value)
{
  const struct slice key = SLICE("key");
  struct cache_change *change = cache_change_begin(instance->cache, &key, 1);
  enum status status = cache_change_confirm(change);
  if (status == STATUS_OK)
    source->value = value;
  cache_change_end(&change, true);
  return status;
}

// Changes the value as a client does that tries again for as long as it gets a 503.
static void change_at_last(struct instance *instance, struct source *source, int value)
{
  while (try_to_change(instance, source, value) != STATUS_OK)
    cr_assert_eq(task_sleep_ms(1), STATUS_OK);
}

static size_t count_rows(struct world *world)
{
  return (size_t)strtoul(run_sql(world, "SELECT count(*) FROM cache_instances"), NULL, 10);
}

// ---- all have lost PostgreSQL ----

// Tells whether both instances serve the key for some leases, without loading it.
static bool serve_for_long(const struct trio *trio, struct instance *a, struct instance *b)
{
  unsigned loads = trio->source.loads;
  uint64_t end_us = deadline_after_ms(clock_now_us(), 6 * CACHE_LEASE_MS);
  while (clock_now_us() < end_us) {
    if (!instance_peek(a) || !instance_peek(b))
      return false;
    cr_assert_eq(task_sleep_ms(5), STATUS_OK);
  }
  return trio->source.loads == loads;
}

static void settle_both(struct world *world, struct trio *trio)
{
  for (size_t i = 0; i < 2; i++)
    instance_settle(world, &trio->instances[i]);
  for (size_t i = 0; i < 2; i++)
    instance_warm(&trio->instances[i], &trio->source);
}

// Loses PostgreSQL, and tells whether reads are served from then on, also after a change that nobody can hear of.
static bool serve_without(struct trio *trio, void (*lose)(void))
{
  struct instance *a = &trio->instances[0];
  lose();
  if (!serve_for_long(trio, a, &trio->instances[1]))
    return false;
  cr_expect_eq(try_to_change(a, &trio->source, 2), STATUS_UNAVAILABLE, "nobody can hear of the change");
  return instance_peek(a);
}

// Reads are served all through the outage, and afterwards the first change is seen by all. A machine that is too busy
// for a round of questions within a lease gets another try.
static void endure(struct world *world, void (*lose)(void), void (*give_back)(void))
{
  enum { TRIES = 5 };
  struct trio trio;
  begin_with(world, &trio, 2);
  struct instance *a = &trio.instances[0];
  struct instance *b = &trio.instances[1];
  bool served = serve_without(&trio, lose);
  for (unsigned i = 1; i < TRIES && !served; i++) {
    give_back();
    settle_both(world, &trio);
    served = serve_without(&trio, lose);
  }
  cr_assert(served, "what is cached is not served while PostgreSQL is away");
  cr_expect_gt(a->asked, 0);
  cr_expect_gt(b->asked, 0);
  give_back();
  change_at_last(b, &trio.source, 3);
  cr_expect_eq(instance_get(a, &trio.source), 3);
  cr_expect_eq(instance_get(b, &trio.source), 3);
  end(world, &trio);
}

static void vanish(void)
{
  for (size_t i = 0; i < ARRAY_LEN(ways); i++)
    front_vanish(&ways[i]);
}

static void come_back(void)
{
  for (size_t i = 0; i < ARRAY_LEN(ways); i++)
    front_return(&ways[i]);
}

static void check_vanished(struct world *world)
{
  endure(world, vanish, come_back);
}

Test(cache_siblings, what_is_cached_is_served_while_the_host_of_postgresql_has_vanished)
{
  with_loop(check_vanished);
}

static void freeze(void)
{
  postgres_signal(&server, SIGSTOP);
}

static void thaw(void)
{
  postgres_signal(&server, SIGCONT);
}

static void check_frozen(struct world *world)
{
  endure(world, freeze, thaw);
}

Test(cache_siblings, what_is_cached_is_served_while_postgresql_is_frozen)
{
  with_loop(check_frozen);
}

static void kill_server(void)
{
  postgres_signal(&server, SIGKILL);
}

static void restart_server(void)
{
  postgres_restart(&server, true);
}

static void check_killed(struct world *world)
{
  endure(world, kill_server, restart_server);
}

Test(cache_siblings, what_is_cached_is_served_while_postgresql_is_down)
{
  with_loop(check_killed);
}

// ---- one has lost PostgreSQL ----

// The other goes on, and does not promise anything: the one must not serve what the other changes.
static void check_one_lost(struct world *world)
{
  struct trio trio;
  begin_with(world, &trio, 2);
  cut(0);
  for (int value = 2; value < 6; value++) {
    change_at_last(&trio.instances[1], &trio.source, value);
    cr_expect_eq(instance_get(&trio.instances[0], &trio.source), value, "an old value was served");
  }
  cr_expect_gt(trio.instances[1].asked, 0, "it was not asked for promises");
  join(0);
  end(world, &trio);
}

Test(cache_siblings, one_that_has_lost_postgresql_alone_serves_nothing)
{
  with_loop(check_one_lost);
}

// Nobody answers, so nobody has promised anything.
static void check_cut_off(struct world *world)
{
  struct trio trio;
  begin_with(world, &trio, 2);
  trio.instances[0].is_cut_off = true;
  cut(0);
  cut(1);
  await_silence(&trio.instances[0]);
  await_silence(&trio.instances[1]);
  join(0);
  join(1);
  end(world, &trio);
}

Test(cache_siblings, without_the_others_promises_nothing_is_served)
{
  with_loop(check_cut_off);
}

// ---- new instances ----

// A new instance that reaches PostgreSQL, while two others serve without it, tells them before its first change.
static void check_newcomer(struct world *world)
{
  struct trio trio;
  begin_with(world, &trio, 2);
  cut(0);
  cut(1);
  await_rounds(&trio.instances[0]);
  start(world, &trio, 2);
  change_at_last(&trio.instances[2], &trio.source, 2);
  cr_expect_not(instance_peek(&trio.instances[0]));
  cr_expect_not(instance_peek(&trio.instances[1]));
  cr_expect_eq(instance_get(&trio.instances[0], &trio.source), 2);
  cr_expect_eq(instance_get(&trio.instances[1], &trio.source), 2);
  join(0);
  join(1);
  end(world, &trio);
}

Test(cache_siblings, a_new_instance_ends_the_serving_of_others_before_its_first_change)
{
  with_loop(check_newcomer);
}

// An instance that may serve, and can be neither heard nor asked, holds the changes of a new one up.
static void check_unreachable(struct world *world)
{
  struct trio trio;
  begin_with(world, &trio, 1);
  cut(0);
  trio.instances[0].is_cut_off = true;
  start(world, &trio, 1);
  cr_expect(instance_peek(&trio.instances[0]), "the only instance needs no promise of another one");
  cr_expect_eq(try_to_change(&trio.instances[1], &trio.source, 2), STATUS_UNAVAILABLE);
  cr_expect_eq(instance_get(&trio.instances[0], &trio.source), 1);
  trio.instances[0].is_cut_off = false;
  change_at_last(&trio.instances[1], &trio.source, 3);
  cr_expect_eq(instance_get(&trio.instances[0], &trio.source), 3);
  join(0);
  end(world, &trio);
}

Test(cache_siblings, changes_wait_for_an_instance_that_may_serve)
{
  with_loop(check_unreachable);
}

// ---- ends ----

static void check_rows(struct world *world)
{
  struct trio trio;
  begin_with(world, &trio, 2);
  cr_expect_eq(count_rows(world), 2);
  instance_stop(&trio.instances[0]);
  cr_expect_eq(count_rows(world), 1, "an instance that ends takes its row away");
  end(world, &trio);
  begin(world, &trio);
  cr_expect_eq(count_rows(world), 0);
  // One has crashed, and another process is reached at its address.
  run_sql(world, "INSERT INTO cache_instances (cache, name, address, host, generation) "
                 "VALUES ('siblings', '0123456789abcdef', 'tcp://192.0.2.7:9000', 'elsewhere', 7)");
  start(world, &trio, 0);
  snprintf(trio.instances[0].address, sizeof(trio.instances[0].address), "tcp://192.0.2.7:9000");
  change_at_last(&trio.instances[0], &trio.source, 2);
  while (count_rows(world) > 1)
    cr_assert_eq(task_sleep_ms(5), STATUS_OK);
  end(world, &trio);
}

Test(cache_siblings, the_row_of_an_instance_that_has_crashed_is_removed)
{
  with_loop(check_rows);
}
