// Transactions, and statements that have a connection to themselves.
#include <criterion/criterion.h>
#include <string.h>

#include "tests/component/storage/support.h"
#include "tests/support/common/read_metric.h"

static enum status tx_run(struct world *world, struct pg_tx *tx, const char *sql)
{
  struct pg_result result;
  return pg_tx_query(tx, statement(sql, PG_LANE_WRITE), NULL, &world->arena, &result);
}

static void check_commit(struct world *world)
{
  struct pg_tx *tx;
  run_sql(world, "CREATE TABLE t (id int PRIMARY KEY)");
  cr_assert_eq(pg_begin(world->pg, &tx), STATUS_OK);
  cr_assert_eq(tx_run(world, tx, "INSERT INTO t VALUES (1)"), STATUS_OK);
  cr_assert_eq(tx_run(world, tx, "INSERT INTO t VALUES (2)"), STATUS_OK);
  cr_assert_str_eq(run_sql(world, "SELECT count(*) FROM t"), "0");
  cr_assert_eq(pg_commit(&tx), STATUS_OK);
  cr_assert_null(tx);
  cr_assert_str_eq(run_sql(world, "SELECT count(*) FROM t"), "2");
  pg_rollback(&tx);  // the one clean-up accepts a finished one

  cr_assert_eq(pg_begin(world->pg, &tx), STATUS_OK);
  cr_assert_eq(tx_run(world, tx, "DELETE FROM t"), STATUS_OK);
  pg_rollback(&tx);
  cr_assert_null(tx);
  cr_assert_str_eq(run_sql(world, "SELECT count(*) FROM t"), "2");

  cr_assert_eq(pg_begin(world->pg, &tx), STATUS_OK);
  cr_assert_eq(pg_commit(&tx), STATUS_OK);  // empty
}

Test(pg_tx, commit_and_roll_back)
{
  with_pg(check_commit);
}

static void check_failed(struct world *world)
{
  struct pg_tx *tx;
  run_sql(world, "CREATE TABLE t (id int PRIMARY KEY)");
  cr_assert_eq(pg_begin(world->pg, &tx), STATUS_OK);
  cr_assert_eq(tx_run(world, tx, "INSERT INTO t VALUES (1)"), STATUS_OK);
  cr_assert_eq(tx_run(world, tx, "INSERT INTO t VALUES (1)"), STATUS_ALREADY_EXISTS);
  cr_assert_eq(tx_run(world, tx, "INSERT INTO t VALUES (2)"), STATUS_ABORTED);
  cr_assert_eq(pg_commit(&tx), STATUS_ABORTED);
  cr_assert_null(tx);
  cr_assert_str_eq(run_sql(world, "SELECT count(*) FROM t"), "0");

  // The first statement fails; it travels with BEGIN.
  cr_assert_eq(pg_begin(world->pg, &tx), STATUS_OK);
  cr_assert_eq(tx_run(world, tx, "SELECT 1/0"), STATUS_INVALID_ARGUMENT);
  pg_rollback(&tx);
  cr_assert_eq(pg_begin(world->pg, &tx), STATUS_OK);
  cr_assert_eq(tx_run(world, tx, "SELEC"), STATUS_INTERNAL);
  pg_rollback(&tx);
  cr_assert_eq(pg_begin(world->pg, &tx), STATUS_OK);
  cr_assert_eq(tx_run(world, tx, "INSERT INTO t VALUES (3)"), STATUS_OK);
  cr_assert_eq(pg_commit(&tx), STATUS_OK);
  cr_assert_str_eq(run_sql(world, "SELECT string_agg(id::text, ',') FROM t"), "3");
}

Test(pg_tx, after_an_error_only_the_roll_back_is_left)
{
  with_pg_options((struct pg_options){.write_connections = 1}, check_failed);
}

static void check_commit_fails(struct world *world)
{
  struct pg_tx *tx;
  run_sql(world, "CREATE TABLE a (id int PRIMARY KEY)");
  run_sql(world, "CREATE TABLE b (a int REFERENCES a DEFERRABLE INITIALLY DEFERRED)");
  cr_assert_eq(pg_begin(world->pg, &tx), STATUS_OK);
  cr_assert_eq(tx_run(world, tx, "INSERT INTO b VALUES (1)"), STATUS_OK);
  cr_assert_eq(pg_commit(&tx), STATUS_FAILED_PRECONDITION);
  cr_assert_str_eq(run_sql(world, "SELECT count(*) FROM b"), "0");
}

Test(pg_tx, a_commit_can_fail)
{
  with_pg(check_commit_fails);
}

static void check_changed_table(struct world *world)
{
  struct pg_tx *tx;
  struct pg_result result;
  const struct pg_statement *read = statement("SELECT * FROM t", PG_LANE_WRITE);
  run_sql(world, "CREATE TABLE t (a int)");
  for (int round = 0; round < 3; round++) {
    cr_assert_eq(pg_begin(world->pg, &tx), STATUS_OK);
    enum status status = pg_tx_query(tx, read, NULL, &world->arena, &result);
    cr_assert_eq(status, round == 1 ? STATUS_ABORTED : STATUS_OK, "%d: %s", round, status_name(status));
    pg_rollback(&tx);
    if (round == 0)
      run_sql(world, "ALTER TABLE t ADD b int");
  }
}

// A statement cannot be retried inside a transaction, but the whole transaction may be.
Test(pg_tx, a_changed_table_aborts_a_transaction_once)
{
  with_pg_options((struct pg_options){.write_connections = 1}, check_changed_table);
}

// ---- waiting for a connection ----

struct worker {
  struct crew *crew;
  size_t number;
  size_t *finished;  // how many before this one
  size_t place;
};

static void increment(void *arg)
{
  struct worker *worker = arg;
  struct world *world = worker->crew->world;
  struct pg_tx *tx;
  cr_assert_eq(pg_begin(world->pg, &tx), STATUS_OK);
  worker->place = (*worker->finished)++;
  cr_assert_eq(tx_run(world, tx, "UPDATE t SET n = n + 1"), STATUS_OK);
  cr_assert_eq(pg_commit(&tx), STATUS_OK);
  crew_finished(worker->crew);
}

// Two are pipelined, one probes, and three are the pool's.
static bool has_all_connections(void *arg)
{
  (void)arg;
  cr_assert_leq(read_single_metric(METRIC_PG_CONNECTIONS), 6);
  return read_single_metric(METRIC_PG_CONNECTIONS) == 6;
}

static void check_waiting(struct world *world)
{
  enum { WORKERS = 40 };
  size_t finished = 0;
  struct crew crew = {.world = world};
  struct worker workers[WORKERS];
  run_sql(world, "CREATE TABLE t AS SELECT 0 AS n");
  for (size_t i = 0; i < WORKERS; i++) {
    workers[i] = (struct worker){.crew = &crew, .number = i, .finished = &finished};
    crew_start(&crew, increment, &workers[i]);
  }
  crew_join(&crew);
  for (size_t i = 0; i < WORKERS; i++)
    cr_assert_eq(workers[i].place, i, "first come, first served");
  cr_assert_str_eq(run_sql(world, "SELECT n FROM t"), "40");
  wait_until(has_all_connections, NULL);
}

Test(pg_tx, at_most_so_many_at_a_time_first_come_first_served)
{
  with_pg_options((struct pg_options){.write_connections = 3}, check_waiting);
}

static void check_waiting_deadline(struct world *world)
{
  struct pg_tx *tx;
  struct pg_tx *second;
  cr_assert_eq(pg_begin(world->pg, &tx), STATUS_OK);
  uint64_t before = task_tighten_deadline(deadline_after_ms(clock_now_us(), 20));
  cr_assert_eq(pg_begin(world->pg, &second), STATUS_DEADLINE_EXCEEDED);
  cr_assert_null(second);
  task_restore_deadline(before);
  pg_rollback(&tx);
  cr_assert_eq(pg_begin(world->pg, &second), STATUS_OK);
  pg_rollback(&second);
}

Test(pg_tx, who_waits_too_long_leaves_the_line)
{
  with_pg_options((struct pg_options){.write_connections = 1}, check_waiting_deadline);
}

// ---- overdue ----

static void check_cancel(struct world *world)
{
  struct pg_result result;
  struct pg_tx *tx;
  int64_t cancels = read_single_metric(METRIC_PG_CANCELS);
  run_sql(world, "CREATE TABLE t (id int)");
  for (int i = 0; i < 20; i++) {
    uint64_t before = task_tighten_deadline(deadline_after_ms(clock_now_us(), 15));
    const struct pg_statement *sleep = statement("SELECT pg_sleep(60)", PG_LANE_WRITE);
    cr_assert_eq(pg_query(world->pg, sleep, NULL, &world->arena, &result), STATUS_DEADLINE_EXCEEDED);
    task_restore_deadline(before);
    // The one connection comes back, and the late cancel does not hit the next statement.
    const struct pg_statement *next = statement("SELECT 'next', pg_sleep(0.002)", PG_LANE_WRITE);
    cr_assert_eq(pg_query(world->pg, next, NULL, &world->arena, &result), STATUS_OK);
    cr_assert_str_eq(cell_text(&result, 0, 0), "next");
  }
  // On a slow day a deadline strikes before the statement is sent.
  cr_assert_gt(read_single_metric(METRIC_PG_CANCELS), cancels);

  cr_assert_eq(pg_begin(world->pg, &tx), STATUS_OK);
  cr_assert_eq(tx_run(world, tx, "INSERT INTO t VALUES (1)"), STATUS_OK);
  uint64_t before = task_tighten_deadline(deadline_after_ms(clock_now_us(), 15));
  cr_assert_eq(tx_run(world, tx, "SELECT pg_sleep(60)"), STATUS_DEADLINE_EXCEEDED);
  cr_assert_eq(pg_commit(&tx), STATUS_ABORTED);
  task_restore_deadline(before);
  cr_assert_eq(pg_begin(world->pg, &tx), STATUS_OK);
  cr_assert_eq(tx_run(world, tx, "INSERT INTO t VALUES (2)"), STATUS_OK);
  cr_assert_eq(pg_commit(&tx), STATUS_OK);
  cr_assert_str_eq(run_sql(world, "SELECT string_agg(id::text, ',') FROM t"), "2");
}

Test(pg_tx, an_overdue_statement_is_cancelled_in_the_server)
{
  with_pg_options((struct pg_options){.write_connections = 1, .statement_timeout_ms = 60000}, check_cancel);
}

static void check_terminated(struct world *world)
{
  struct pg_tx *tx;
  struct pg_result result;
  run_sql(world, "CREATE TABLE t (id int)");
  cr_assert_eq(pg_begin(world->pg, &tx), STATUS_OK);
  cr_assert_eq(pg_tx_query(tx, statement("SELECT pg_backend_pid()", PG_LANE_WRITE), NULL, &world->arena, &result),
               STATUS_OK);
  const char *pid = cell_text(&result, 0, 0);
  cr_assert_eq(tx_run(world, tx, "INSERT INTO t VALUES (1)"), STATUS_OK);
  const char *terminate = arena_printf(&world->arena, "SELECT pg_terminate_backend(%s, 5000)", pid);
  cr_assert_eq(pg_query(world->pg, statement(terminate, PG_LANE_SCAN), NULL, &world->arena, &result), STATUS_OK);
  cr_assert_eq(tx_run(world, tx, "INSERT INTO t VALUES (2)"), STATUS_UNAVAILABLE);
  cr_assert_neq(pg_commit(&tx), STATUS_OK);
  cr_assert_eq(pg_begin(world->pg, &tx), STATUS_OK);
  cr_assert_eq(tx_run(world, tx, "INSERT INTO t VALUES (3)"), STATUS_OK);
  cr_assert_eq(pg_commit(&tx), STATUS_OK);
  cr_assert_str_eq(run_sql(world, "SELECT string_agg(id::text, ',') FROM t"), "3");
}

Test(pg_tx, a_terminated_connection_ends_its_transaction_and_is_replaced)
{
  with_pg_options((struct pg_options){.write_connections = 1}, check_terminated);
}
