// The server goes away and comes back.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/component/storage/support.h"
#include "tests/support/common/read_metric.h"
#include "tests/support/common/yield_task.h"

static struct server server;

static struct pg *connect_with(struct world *world, const struct server *to, size_t connections)
{
  const struct pg_options options = {
      .conninfo = arena_printf(&world->arena, "host=%s user=test dbname=postgres", to->folder),
      .pipelined_connections = connections,
      .statement_timeout_ms = 60000,
  };
  world->pg = pg_create(world->loop, &options);
  cr_assert_eq(pg_wait_ready(world->pg), STATUS_OK);
  return world->pg;
}

static struct pg *connect_to(struct world *world, const struct server *to)
{
  return connect_with(world, to, 3);  // two sleep, one is left to look
}

static bool pg_is_down(void *arg)
{
  cr_assert_eq(read_single_metric(METRIC_PG_UP), pg_ready(arg) ? 1 : 0);
  return !pg_ready(arg);
}

// Three are pipelined, and one probes.
static bool all_are_up(void *arg)
{
  (void)arg;
  return read_single_metric(METRIC_PG_CONNECTIONS) == 4;
}

static void check_restart(struct world *world)
{
  connect_to(world, &server);
  wait_until(all_are_up, NULL);
  struct crew crew = {.world = world};
  struct ask slow[] = {{.crew = &crew, .statement = statement("SELECT pg_sleep(60)", PG_LANE_WRITE)},
                       {.crew = &crew, .statement = statement("SELECT pg_sleep(61)", PG_LANE_WRITE)},
                       {.crew = &crew, .statement = statement("SELECT pg_sleep(62)", PG_LANE_WRITE)}};
  for (size_t i = 0; i < ARRAY_LEN(slow); i++)
    crew_start(&crew, ask, &slow[i]);
  while (run_sql(world, "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(62)%' AND state = 'active'"
                        " AND pid <> pg_backend_pid()") == NULL)
    cr_assert_eq(task_sleep_ms(1), STATUS_OK);
  postgres_restart(&server, true);
  crew_join(&crew);
  for (size_t i = 0; i < ARRAY_LEN(slow); i++)
    cr_assert_eq(slow[i].status, STATUS_UNAVAILABLE, "%zu: %s", i, status_name(slow[i].status));
  // Statements that were not sent yet, and reads, which may be retried, wait for the connection.
  struct pg_result result;
  for (int i = 0; i < 10; i++)
    cr_assert_eq(pg_query(world->pg, statement("SELECT 'back'", PG_LANE_POINT), NULL, &world->arena, &result),
                 STATUS_OK);
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
  cr_assert_eq(pg_query(world->pg, statement("SELECT 1", PG_LANE_POINT), NULL, &world->arena, &result),
               STATUS_UNAVAILABLE);
  cr_expect_str_eq(task_find_cause(STATUS_UNAVAILABLE).text, "PostgreSQL cannot be reached");
  cr_assert_eq(pg_begin(world->pg, &tx), STATUS_UNAVAILABLE);
  cr_expect_str_eq(task_find_cause(STATUS_UNAVAILABLE).what, "BEGIN");
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

// Returns the time until the task's deadline, in ms.
static uint64_t left_ms(void)
{
  return deadline_left_ms(task_deadline_us(), clock_now_us());
}

// A caller with a late deadline is answered soon all the same, so that requests do not pile up while the server is
// down.
static void check_down_for_long(struct world *world)
{
  connect_to(world, &server);
  kill(server.pid, SIGQUIT);
  wait_until(pg_is_down, world->pg);
  struct pg_result result;
  uint64_t before = task_tighten_deadline(deadline_after_ms(clock_now_us(), 20000));
  cr_assert_eq(pg_query(world->pg, statement("SELECT 1", PG_LANE_POINT), NULL, &world->arena, &result),
               STATUS_UNAVAILABLE);
  cr_assert_gt(left_ms(), 12000);
  task_restore_deadline(before);
  pg_free(&world->pg);
}

Test(pg_faults, nobody_waits_long_for_a_server_that_is_down)
{
  postgres_start(&server);
  with_loop(check_down_for_long);
  postgres_stop(&server);
}

static void wait_in_line(void *arg)
{
  struct ask *asked = arg;
  (void)task_tighten_deadline(deadline_after_ms(clock_now_us(), 25000));
  ask(asked);
  cr_expect_gt(left_ms(), 12000);
}

// The task waits for the one connection already when the server goes.
static void check_down_in_line(struct world *world)
{
  const struct pg_options options = {
      .conninfo = arena_printf(&world->arena, "host=%s user=test dbname=postgres", server.folder),
      .write_connections = 1,
  };
  world->pg = pg_create(world->loop, &options);
  struct pg_tx *tx;
  cr_assert_eq(pg_begin(world->pg, &tx), STATUS_OK);
  struct crew crew = {.world = world};
  struct ask waiting = {.crew = &crew, .statement = statement("SELECT 1", PG_LANE_WRITE)};
  crew_start(&crew, wait_in_line, &waiting);
  yield_task();
  kill(server.pid, SIGQUIT);
  wait_until(pg_is_down, world->pg);
  pg_rollback(&tx);
  crew_join(&crew);
  cr_expect_eq(waiting.status, STATUS_UNAVAILABLE, "%s", status_name(waiting.status));
  pg_free(&world->pg);
}

Test(pg_faults, who_waits_in_line_does_not_wait_long_for_a_server_that_is_down)
{
  postgres_start(&server);
  with_loop(check_down_in_line);
  postgres_stop(&server);
}

// Kills the backend that runs a statement with `text` in it, without a word to its client. Returns its process id,
// which the next call passes over: the server may still list it.
static int64_t kill_backend(struct world *world, const char *text, int64_t passed_over)
{
  const char *sql = arena_printf(&world->arena,
                                 "SELECT pid FROM pg_stat_activity WHERE query LIKE '%%%s%%' AND state = 'active'"
                                 " AND pid NOT IN (pg_backend_pid(), %lld)",
                                 text, (long long)passed_over);
  const struct pg_statement *find = statement(sql, PG_LANE_SCAN);
  struct pg_result result = {0};
  // The server restarts after each kill, and is away meanwhile.
  while (pg_query(world->pg, find, NULL, &world->arena, &result) != STATUS_OK || result.rows == 0)
    cr_assert_eq(task_sleep_ms(1), STATUS_OK, "nobody runs %s", text);
  int64_t pid = pg_int(&result, 0, 0);
  cr_assert_eq(kill((int)pid, SIGKILL), 0);
  return pid;
}

static void check_lost_twice(struct world *world)
{
  // With one connection, a retry cannot meet another that the same crash broke.
  connect_with(world, &server, 1);
  struct crew crew = {.world = world};
  struct ask read = {.crew = &crew, .statement = statement("SELECT 'read', pg_sleep(60)", PG_LANE_POINT)};
  struct ask write = {.crew = &crew, .statement = statement("SELECT 'write', pg_sleep(60)", PG_LANE_WRITE)};
  crew_start(&crew, ask, &read);
  int64_t first = kill_backend(world, "''read'', pg_sleep", 0);
  kill_backend(world, "''read'', pg_sleep", first);
  crew_join(&crew);
  cr_expect_eq(read.status, STATUS_UNAVAILABLE, "%s", status_name(read.status));
  cr_assert_eq(pg_wait_ready(world->pg), STATUS_OK);
  crew_start(&crew, ask, &write);
  kill_backend(world, "''write'', pg_sleep", 0);
  crew_join(&crew);
  cr_expect_eq(write.status, STATUS_UNAVAILABLE, "%s", status_name(write.status));
  pg_free(&world->pg);
}

Test(pg_faults, a_read_whose_connection_breaks_is_retried_once_a_write_never)
{
  postgres_start(&server);
  with_loop(check_lost_twice);
  postgres_stop(&server);
}

// Tells whether a SIGINT waits for the process, which is how a cancel request reaches a backend.
static bool has_pending_interrupt(void *arg)
{
  char path[64];
  char line[256];
  unsigned long long pending = 0;
  snprintf(path, sizeof(path), "/proc/%lld/status", (long long)*(const int64_t *)arg);
  FILE *status = fopen(path, "r");
  cr_assert_not_null(status);
  while (fgets(line, sizeof(line), status) != NULL)
    if (strncmp(line, "ShdPnd:", 7) == 0)
      pending = strtoull(line + 7, NULL, 16);
  fclose(status);
  return (pending & 1ULL << (SIGINT - 1)) != 0;
}

// The backend is stopped while the statement and then the cancel request are sent to it. It handles the signal first,
// finds nothing to cancel, and begins the statement.
static void check_early_cancel(struct world *world)
{
  const struct pg_options options = {
      .conninfo = arena_printf(&world->arena, "host=%s user=test dbname=postgres", server.folder),
      .write_connections = 1,
      .statement_timeout_ms = 600000,
  };
  world->pg = pg_create(world->loop, &options);
  struct pg_result result;
  const struct pg_statement *whoami = statement("SELECT pg_backend_pid()", PG_LANE_WRITE);
  const struct pg_statement *sleep = statement("SELECT pg_sleep(600)", PG_LANE_WRITE);
  cr_assert_eq(pg_query(world->pg, whoami, NULL, &world->arena, &result), STATUS_OK);
  int64_t pid = pg_int(&result, 0, 0);
  cr_assert_eq(kill((pid_t)pid, SIGSTOP), 0);
  uint64_t before = task_tighten_deadline(deadline_after_ms(clock_now_us(), 100));
  cr_expect_eq(pg_query(world->pg, sleep, NULL, &world->arena, &result), STATUS_DEADLINE_EXCEEDED);
  task_restore_deadline(before);
  wait_until(has_pending_interrupt, &pid);
  cr_assert_eq(kill((pid_t)pid, SIGCONT), 0);
  cr_assert_eq(pg_query(world->pg, whoami, NULL, &world->arena, &result), STATUS_OK);
  cr_expect_eq(pg_int(&result, 0, 0), pid, "the one connection came back");
  pg_free(&world->pg);
}

Test(pg_faults, a_cancel_that_was_too_early_is_repeated)
{
  postgres_start(&server);
  with_loop(check_early_cancel);
  postgres_stop(&server);
}

// An acknowledged write is there after a crash of the server (fsync is off, but the machine does not fall).
static void check_acknowledged(struct world *world)
{
  enum { WRITERS = 50 };
  connect_to(world, &server);
  run_sql(world, "CREATE TABLE t (id int)");
  struct crew crew = {.world = world};
  struct ask writes[WRITERS];
  for (size_t i = 0; i < WRITERS; i++) {
    const char *sql = arena_printf(&world->arena, "INSERT INTO t SELECT %zu FROM pg_sleep(0.001)", i);
    writes[i] = (struct ask){.crew = &crew, .statement = statement(sql, PG_LANE_WRITE)};
    crew_start(&crew, ask, &writes[i]);
  }
  while (run_sql(world, "SELECT 1 FROM t LIMIT 1") == NULL)
    yield_task();
  postgres_restart(&server, true);
  crew_join(&crew);
  cr_assert_eq(pg_wait_ready(world->pg), STATUS_OK);
  for (size_t i = 0; i < WRITERS; i++) {
    const char *sql = arena_printf(&world->arena, "SELECT count(*) FROM t WHERE id = %zu", i);
    struct pg_result result;
    cr_assert_eq(pg_query(world->pg, statement(sql, PG_LANE_POINT), NULL, &world->arena, &result), STATUS_OK);
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

static bool is_cancelling(void *arg)
{
  return read_single_metric(METRIC_PG_CANCELS) > *(int64_t *)arg;
}

// Only the server's own process is stopped, which takes in new connections, and so cancel requests.
static void check_frozen(struct world *world)
{
  connect_to(world, &server);
  struct crew crew = {.world = world, .running = 1};
  struct ask slow = {.crew = &crew, .statement = statement("SELECT pg_sleep(60)", PG_LANE_SCAN)};
  struct task *task = task_start(world->loop, ask, &slow, DEADLINE_NONE, NULL);
  while (run_sql(world, "SELECT 1 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)' AND state = 'active'") ==
         NULL)
    cr_assert_eq(task_sleep_ms(1), STATUS_OK);
  kill(server.pid, SIGSTOP);
  int64_t cancels = read_single_metric(METRIC_PG_CANCELS);
  task_cancel(task);
  wait_until(is_cancelling, &cancels);
  crew_join(&crew);
  cr_expect_eq(slow.status, STATUS_CANCELLED);
  pg_free(&world->pg);
  kill(server.pid, SIGCONT);
}

Test(pg_faults, a_frozen_server_does_not_keep_the_pool_from_ending, .timeout = 60)
{
  postgres_start(&server);
  with_loop(check_frozen);
  postgres_stop(&server);
}
