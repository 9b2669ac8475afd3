// Readiness tells a server that hangs from one that is busy.
#include <criterion/criterion.h>
#include <signal.h>

#include "tests/component/storage/support.h"
#include "tests/support/common/read_metric.h"

static struct server server;

static void connect_to_server(struct world *world)
{
  const struct pg_options options = {
      .conninfo = arena_printf(&world->arena, "host=%s user=test dbname=postgres", server.folder),
      .pipelined_connections = 1,
      .write_connections = 2,
      .scan_connections = 1,
  };
  world->pg = pg_create(world->loop, &options);
  cr_assert_eq(pg_wait_ready(world->pg), STATUS_OK);
}

// The metric says the same as pg_ready, at any time.
static bool pg_is_up(void *arg)
{
  cr_assert_eq(read_single_metric(METRIC_PG_UP), pg_ready(arg) ? 1 : 0);
  return pg_ready(arg);
}

static bool pg_is_down(void *arg)
{
  return !pg_is_up(arg);
}

// Tells whether a session has been asked.
static bool is_probing(void *arg)
{
  return run_sql(arg, "SELECT 1 FROM pg_stat_activity WHERE query = 'SELECT' AND pid <> pg_backend_pid()") != NULL;
}

struct newer {
  struct world *world;
  const char *than;
};

static bool has_newer_probe(void *arg)
{
  const struct newer *newer = arg;
  const char *sql = arena_printf(&newer->world->arena,
                                 "SELECT 1 FROM pg_stat_activity WHERE query = 'SELECT' AND pid <> pg_backend_pid()"
                                 " AND query_start > '%s'",
                                 newer->than);
  return run_sql(newer->world, sql) != NULL;
}

// Waits until one more probe has been answered for certain: the server has begun another one after it.
static void await_answered_probe(struct world *world)
{
  for (int i = 0; i < 2; i++) {
    struct newer newer = {.world = world, .than = run_sql(world, "SELECT clock_timestamp()")};
    wait_until(has_newer_probe, &newer);
  }
}

static enum status read_point(struct world *world)
{
  struct pg_result result;
  return pg_query(world->pg, statement("SELECT 'point'", PG_LANE_POINT), NULL, &world->arena, &result);
}

static void freeze_and_continue(struct world *world)
{
  postgres_signal(&server, SIGSTOP);
  wait_until(pg_is_down, world->pg);
  cr_expect_eq(count_logged("PostgreSQL has not answered", "\"level\":\"warn\""), 1);
  // What is asked now is refused while its caller can still be told.
  uint64_t before = task_tighten_deadline(deadline_after_ms(clock_now_us(), 400));
  cr_expect_eq(read_point(world), STATUS_UNAVAILABLE);
  cr_expect_eq(run_status(world, "SELECT 'write'"), STATUS_UNAVAILABLE);
  cr_expect_str_eq(task_find_cause(STATUS_UNAVAILABLE).text, "PostgreSQL does not answer");
  cr_expect_eq(task_check(), STATUS_OK);
  task_restore_deadline(before);
  // The server stays down, also after the time in which the next probe would be sent.
  cr_expect_eq(read_point(world), STATUS_UNAVAILABLE);
  cr_expect_not(pg_ready(world->pg));
  postgres_signal(&server, SIGCONT);
  wait_until(pg_is_up, world->pg);
  cr_expect_eq(count_logged("PostgreSQL answers again", "\"level\":\"info\""), 1);
  cr_expect_eq(read_point(world), STATUS_OK);
}

static void check_frozen(struct world *world)
{
  capture_log();
  connect_to_server(world);
  await_answered_probe(world);
  cr_expect_eq(count_logged("PostgreSQL answers again", NULL), 0);
  freeze_and_continue(world);
  await_answered_probe(world);
  cr_expect_eq(count_logged("PostgreSQL has not answered", NULL), 1);
  cr_expect_eq(count_logged("PostgreSQL answers again", NULL), 1);
  pg_free(&world->pg);
}

Test(pg_probe, a_server_that_hangs_is_down_until_it_answers, .timeout = 60)
{
  postgres_start(&server);
  with_loop(check_frozen);
  postgres_stop(&server);
}

// The end of the probe's own session says nothing about the server.
static void check_killed_session(struct world *world)
{
  connect_to_server(world);
  wait_until(is_probing, world);
  run_sql(world, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                 " WHERE query = 'SELECT' AND pid <> pg_backend_pid()");
  cr_expect(pg_ready(world->pg));
  wait_until(is_probing, world);
  cr_expect(pg_ready(world->pg));
  pg_free(&world->pg);
}

Test(pg_probe, a_probe_that_lost_its_session_gets_another, .timeout = 60)
{
  postgres_start(&server);
  with_loop(check_killed_session);
  postgres_stop(&server);
}

struct look {
  struct crew *crew;
  bool stop;
  size_t downs;
};

static void look_on(void *arg)
{
  struct look *look = arg;
  while (!look->stop && task_sleep_ms(5) == STATUS_OK)
    look->downs += !pg_ready(look->crew->world->pg);
  crew_finished(look->crew);
}

static void wait_for_table(void *arg)
{
  (void)task_tighten_deadline(deadline_after_ms(clock_now_us(), 4000));
  ask(arg);
}

// Every connection that carries statements waits: for the table, or for a statement that takes long.
static void check_locked(struct world *world)
{
  capture_log();
  connect_to_server(world);
  run_sql(world, "CREATE TABLE t (id int)");
  wait_until(is_probing, world);
  struct pg_tx *tx;
  struct pg_result result;
  cr_assert_eq(pg_begin(world->pg, &tx), STATUS_OK);
  cr_assert_eq(pg_tx_query(tx, statement("LOCK TABLE t", PG_LANE_WRITE), NULL, &world->arena, &result), STATUS_OK);
  struct crew watchers = {.world = world};
  struct look look = {.crew = &watchers};
  crew_start(&watchers, look_on, &look);
  struct crew crew = {.world = world};
  struct ask asks[] = {{.crew = &crew, .statement = statement("SELECT id FROM t", PG_LANE_POINT)},
                       {.crew = &crew, .statement = statement("INSERT INTO t VALUES (1)", PG_LANE_WRITE)},
                       {.crew = &crew, .statement = statement("SELECT pg_sleep(60)", PG_LANE_SCAN)}};
  for (size_t i = 0; i < ARRAY_LEN(asks); i++)
    crew_start(&crew, wait_for_table, &asks[i]);
  crew_join(&crew);
  for (size_t i = 0; i < ARRAY_LEN(asks); i++)
    cr_expect_eq(asks[i].status, STATUS_DEADLINE_EXCEEDED, "%zu: %s", i, status_name(asks[i].status));
  look.stop = true;
  crew_join(&watchers);
  cr_expect_eq(look.downs, 0, "readiness failed %zu times", look.downs);
  cr_expect_eq(count_logged("PostgreSQL has not answered", NULL), 0);
  pg_rollback(&tx);
  pg_free(&world->pg);
}

Test(pg_probe, locks_and_slow_statements_do_not_make_the_server_look_down, .timeout = 60)
{
  postgres_start(&server);
  with_loop(check_locked);
  postgres_stop(&server);
}
