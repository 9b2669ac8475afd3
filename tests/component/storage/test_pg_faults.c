// The server goes away and comes back.
#include <criterion/criterion.h>
#include <signal.h>

#include "common/observe/metrics.h"
#include "tests/component/storage/support.h"

static struct server server;

static struct pg *connect_to(struct world *world, const struct server *to)
{
  const struct pg_options options = {
      .conninfo = arena_printf(&world->arena, "host=%s user=test dbname=postgres", to->folder),
      .pipelined_connections = 3,  // two sleep, one is left to look
      .statement_timeout_ms = 60000,
  };
  world->pg = pg_create(world->loop, &options);
  cr_assert_eq(pg_wait_ready(world->pg), STATUS_OK);
  return world->pg;
}

static bool pg_is_down(void *arg)
{
  return !pg_ready(arg);
}

static bool all_are_up(void *arg)
{
  (void)arg;
  return metric_value(metrics_single(METRIC_PG_CONNECTIONS)) == 3;
}

struct call {
  struct crew *crew;
  const struct pg_statement *statement;
  enum status status;
};

static void run_call(void *arg)
{
  struct call *call = arg;
  struct world *world = call->crew->world;
  struct pg_result result;
  call->status = pg_query(world->pg, call->statement, NULL, &world->arena, &result);
  crew_finished(call->crew);
}

static void check_restart(struct world *world)
{
  connect_to(world, &server);
  wait_until(all_are_up, NULL);
  struct crew crew = {.world = world};
  struct call slow[] = {{.crew = &crew, .statement = statement("SELECT pg_sleep(60)", false)},
                        {.crew = &crew, .statement = statement("SELECT pg_sleep(61)", false)},
                        {.crew = &crew, .statement = dedicated_statement("SELECT pg_sleep(62)")}};
  for (size_t i = 0; i < ARRAY_LEN(slow); i++)
    crew_start(&crew, run_call, &slow[i]);
  while (run_sql(world, "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(62)%' AND state = 'active'"
                        " AND pid <> pg_backend_pid()") == NULL)
    cr_assert_eq(task_sleep_ms(1), STATUS_OK);
  postgres_restart(&server, true);
  crew_join(&crew);
  for (size_t i = 0; i < ARRAY_LEN(slow); i++)
    cr_assert_eq(slow[i].status, STATUS_UNAVAILABLE, "%zu: %s", i, status_name(slow[i].status));
  // Not sent yet, or a read that may be sent again: waits for the connection.
  struct pg_result result;
  for (int i = 0; i < 10; i++)
    cr_assert_eq(pg_query(world->pg, statement("SELECT 'back'", true), NULL, &world->arena, &result), STATUS_OK);
  struct pg_tx *tx;
  cr_assert_eq(pg_begin(world->pg, &tx), STATUS_OK);
  pg_rollback(&tx);
  pg_free(&world->pg);
}

Test(pg_faults, a_restart_fails_what_was_sent_and_nothing_else)
{
  postgres_start(&server);
  with_loop(check_restart);
  postgres_stop(&server);
}

static void check_down(struct world *world)
{
  connect_to(world, &server);
  kill(server.pid, SIGQUIT);
  wait_until(pg_is_down, world->pg);
  struct pg_result result;
  struct pg_tx *tx;
  uint64_t deadline_us = deadline_after_ms(clock_now_us(), 400);
  uint64_t before = task_tighten_deadline(deadline_us);
  cr_assert_eq(pg_query(world->pg, statement("SELECT 1", true), NULL, &world->arena, &result), STATUS_UNAVAILABLE);
  cr_assert_eq(pg_begin(world->pg, &tx), STATUS_UNAVAILABLE);
  cr_assert_eq(task_check(), STATUS_OK, "the caller can still be told");
  task_restore_deadline(before);
  pg_free(&world->pg);
}

Test(pg_faults, a_server_that_is_down_is_unavailable_before_the_deadline)
{
  postgres_start(&server);
  with_loop(check_down);
  postgres_stop(&server);
}

// An acknowledged write is there after a crash of the server (fsync is off, but the machine does not fall).
static void check_acknowledged(struct world *world)
{
  enum { WRITERS = 50 };
  connect_to(world, &server);
  run_sql(world, "CREATE TABLE t (id int)");
  struct crew crew = {.world = world};
  struct call writes[WRITERS];
  for (size_t i = 0; i < WRITERS; i++) {
    const char *sql = arena_printf(&world->arena, "INSERT INTO t SELECT %zu FROM pg_sleep(0.001)", i);
    writes[i] = (struct call){.crew = &crew, .statement = statement(sql, false)};
    crew_start(&crew, run_call, &writes[i]);
  }
  while (run_sql(world, "SELECT 1 FROM t LIMIT 1") == NULL)
    task_yield();
  postgres_restart(&server, true);
  crew_join(&crew);
  cr_assert_eq(pg_wait_ready(world->pg), STATUS_OK);
  for (size_t i = 0; i < WRITERS; i++) {
    const char *sql = arena_printf(&world->arena, "SELECT count(*) FROM t WHERE id = %zu", i);
    struct pg_result result;
    cr_assert_eq(pg_query(world->pg, statement(sql, true), NULL, &world->arena, &result), STATUS_OK);
    if (writes[i].status == STATUS_OK)
      cr_assert_eq(pg_int(&result, 0, 0), 1, "write %zu was acknowledged", i);
    else
      cr_assert_eq(writes[i].status, STATUS_UNAVAILABLE);
  }
  pg_free(&world->pg);
}

Test(pg_faults, an_acknowledged_write_survives)
{
  postgres_start(&server);
  with_loop(check_acknowledged);
  postgres_stop(&server);
}
