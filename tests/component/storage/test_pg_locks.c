// Locks that cannot be had: what waits for one gives its connection back in between, so that others are not held up.
#include <criterion/criterion.h>

#include "tests/component/storage/support.h"

static struct pg_tx *lock_row(struct world *world, int id)
{
  struct pg_tx *tx;
  struct pg_result result;
  const char *sql = arena_printf(&world->arena, "SELECT n FROM t WHERE id = %d FOR UPDATE", id);
  cr_assert_eq(pg_begin(world->pg, &tx), STATUS_OK);
  cr_assert_eq(pg_tx_query(tx, statement(sql, PG_LANE_WRITE), NULL, &world->arena, &result), STATUS_OK);
  return tx;
}

static void make_rows(struct world *world)
{
  run_sql(world, "CREATE TABLE t (id int PRIMARY KEY, n int)");
  run_sql(world, "INSERT INTO t VALUES (1, 0), (2, 0), (3, 0)");
}

static const struct pg_statement *increment_row(struct world *world, int id)
{
  return statement(arena_printf(&world->arena, "UPDATE t SET n = n + 1 WHERE id = %d", id), PG_LANE_WRITE);
}

struct writer {
  struct crew *crew;
  uint64_t caller;
  uint64_t patience_ms;  // 0: the test's
  const struct pg_statement *update;
  enum status status;
  enum task_effect effect;
  bool in_transaction;
  bool for_ever;  // without a deadline
  bool ended;
};

static enum status write_in_transaction(struct writer *writer, struct pg_result *result)
{
  struct world *world = writer->crew->world;
  struct pg_tx *tx;
  enum status status = pg_begin(world->pg, &tx);
  if (status == STATUS_OK)
    status = pg_tx_query(tx, writer->update, NULL, &world->arena, result);
  if (status == STATUS_OK)
    status = pg_commit(&tx);
  pg_rollback(&tx);
  return status;
}

static void write_row(void *arg)
{
  struct writer *writer = arg;
  struct world *world = writer->crew->world;
  struct pg_result result;
  task_set_caller(writer->caller);
  if (writer->for_ever)
    task_restore_deadline(DEADLINE_NONE);
  if (writer->patience_ms > 0)
    (void)task_tighten_deadline(deadline_after_ms(clock_now_us(), writer->patience_ms));
  writer->status = writer->in_transaction ? write_in_transaction(writer, &result)
                                          : pg_query(world->pg, writer->update, NULL, &world->arena, &result);
  writer->effect = task_effect();
  writer->ended = true;
  crew_finished(writer->crew);
}

// Counts the sessions of this test that wait for a lock.
static int64_t count_waiting(struct world *world)
{
  const char *sql = arena_printf(&world->arena,
                                 "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                                 " AND application_name = '%s'",
                                 world->schema);
  struct pg_result result;
  cr_assert_eq(pg_query(world->pg, statement(sql, PG_LANE_SCAN), NULL, &world->arena, &result), STATUS_OK);
  return pg_int(&result, 0, 0);
}

static bool is_waiting(void *arg)
{
  return count_waiting(arg) > 0;
}

static bool is_not_waiting(void *arg)
{
  return count_waiting(arg) == 0;
}

// ---- one locked row ----

static void check_other_rows(struct world *world)
{
  enum { WRITERS = 40 };
  make_rows(world);
  const struct pg_statement *update = increment_row(world, 1);
  struct pg_tx *tx = lock_row(world, 1);
  struct crew crew = {.world = world};
  static struct writer writers[WRITERS];
  for (size_t i = 0; i < WRITERS; i++) {
    writers[i] = (struct writer){
        .crew = &crew, .caller = 100 + i, .update = update, .in_transaction = i % 2 == 1, .status = STATUS_UNKNOWN};
    crew_start(&crew, write_row, &writers[i]);
  }
  wait_until(is_waiting, world);
  // Each of these needs a connection for writes, of which there are fewer than writers of the locked row.
  for (int i = 0; i < 20; i++)
    run_sql(world, "UPDATE t SET n = n + 1 WHERE id = 2");
  for (size_t i = 0; i < WRITERS; i++)
    cr_assert_not(writers[i].ended, "%zu: %s", i, status_name(writers[i].status));
  pg_rollback(&tx);
  crew_join(&crew);
  for (size_t i = 0; i < WRITERS; i++)
    cr_expect_eq(writers[i].status, STATUS_OK, "%zu: %s", i, status_name(writers[i].status));
  cr_expect_str_eq(run_sql(world, "SELECT string_agg(n::text, ',' ORDER BY id) FROM t"), "40,20,0");
}

Test(pg_locks, one_locked_row_holds_up_no_other_and_every_write_of_it_is_made_once)
{
  with_pg_options((struct pg_options){.write_connections = 4, .statement_timeout_ms = 60000}, check_other_rows);
}

// Once each write has been tried, all are repeated.
static void check_quarter(struct world *world)
{
  enum { WRITERS = 16, LOOKS = 40 };
  make_rows(world);
  const struct pg_statement *update = increment_row(world, 1);
  struct pg_tx *tx = lock_row(world, 1);
  struct crew crew = {.world = world};
  struct writer writers[WRITERS];
  for (size_t i = 0; i < WRITERS; i++) {
    writers[i] = (struct writer){.crew = &crew, .caller = 100 + i, .update = update};
    crew_start(&crew, write_row, &writers[i]);
  }
  wait_until(is_waiting, world);
  for (int looks = 0; looks < LOOKS; looks++) {
    if (count_waiting(world) > 1)
      looks = 0;
    cr_assert_eq(task_sleep_ms(10), STATUS_OK, "more than a quarter of the pool waits for the row");
  }
  pg_rollback(&tx);
  crew_join(&crew);
}

Test(pg_locks, what_is_repeated_because_of_a_lock_has_a_quarter_of_the_pool)
{
  with_pg_options((struct pg_options){.write_connections = 4}, check_quarter);
}

// Keeps the loop busy from before the server gives up waiting for a lock until after, so that the server's answer and
// the deadlines of the writers come in one turn.
static void compute(void *arg)
{
  struct crew *crew = arg;
  uint64_t end_us = deadline_after_ms(clock_now_us(), 150);
  cr_assert_eq(task_sleep_ms(80), STATUS_OK);
  while (clock_now_us() < end_us)
    continue;
  crew_finished(crew);
}

static void check_deadline(struct world *world)
{
  make_rows(world);
  struct pg_tx *tx = lock_row(world, 1);
  struct crew crew = {.world = world};
  // A deadline may come before and after the server gives up waiting for the lock.
  static struct writer writers[60];
  const struct pg_statement *update = increment_row(world, 1);
  for (size_t i = 0; i < ARRAY_LEN(writers); i++) {
    writers[i] = (struct writer){
        .crew = &crew, .caller = 100 + i, .patience_ms = 70 + i, .update = update, .in_transaction = i % 2 == 1};
    crew_start(&crew, write_row, &writers[i]);
  }
  crew_start(&crew, compute, &crew);
  crew_join(&crew);
  for (size_t i = 0; i < ARRAY_LEN(writers); i++) {
    cr_expect_eq(writers[i].status, STATUS_DEADLINE_EXCEEDED, "%s", status_name(writers[i].status));
    cr_expect_eq(writers[i].effect, TASK_NO_EFFECT, "it is known that nothing happened");
  }
  wait_until(is_not_waiting, world);
  pg_rollback(&tx);
  cr_expect_str_eq(run_sql(world, "SELECT n FROM t WHERE id = 1"), "0", "nothing happens after its deadline");
}

Test(pg_locks, who_waits_for_a_lock_until_the_deadline_has_changed_nothing)
{
  with_pg_options((struct pg_options){.write_connections = 64}, check_deadline);
}

// ---- a locked table ----

static void check_reads(struct world *world)
{
  make_rows(world);
  struct pg_tx *tx;
  struct pg_result result;
  const struct pg_statement *lock = statement("LOCK TABLE t IN ACCESS EXCLUSIVE MODE", PG_LANE_WRITE);
  cr_assert_eq(pg_begin(world->pg, &tx), STATUS_OK);
  cr_assert_eq(pg_tx_query(tx, lock, NULL, &world->arena, &result), STATUS_OK);
  struct ask asks[] = {{.statement = statement("SELECT n FROM t WHERE id = 1", PG_LANE_POINT)},
                       {.statement = statement("SELECT n FROM t ORDER BY id", PG_LANE_SCAN)},
                       {.statement = increment_row(world, 2)}};
  struct crew crew = {.world = world};
  for (size_t i = 0; i < ARRAY_LEN(asks); i++) {
    asks[i].crew = &crew;
    crew_start(&crew, ask, &asks[i]);
  }
  wait_until(is_waiting, world);
  // Longer than any of them waits for the lock at once.
  for (int i = 0; i < 30; i++) {
    const struct pg_statement *other = statement("SELECT pg_sleep(0.01)", PG_LANE_POINT);
    cr_assert_eq(pg_query(world->pg, other, NULL, &world->arena, &result), STATUS_OK);
  }
  pg_rollback(&tx);
  crew_join(&crew);
  for (size_t i = 0; i < ARRAY_LEN(asks); i++)
    cr_expect_eq(asks[i].status, STATUS_OK, "%zu: %s", i, status_name(asks[i].status));
}

Test(pg_locks, reads_and_writes_of_a_locked_table_go_on_when_it_is_free)
{
  with_pg(check_reads);
}

// ---- in a transaction ----

static void check_later_statement(struct world *world)
{
  make_rows(world);
  struct pg_tx *holder = lock_row(world, 1);
  struct pg_tx *tx = lock_row(world, 2);
  struct pg_result result;
  cr_expect_eq(pg_tx_query(tx, increment_row(world, 1), NULL, &world->arena, &result), STATUS_ABORTED);
  cr_expect(slice_equal_string(result.sqlstate, "55P03"));
  cr_expect_eq(pg_commit(&tx), STATUS_ABORTED);
  pg_rollback(&holder);
}

Test(pg_locks, a_later_statement_of_a_transaction_is_not_repeated)
{
  with_pg(check_later_statement);
}

static void check_no_deadline(struct world *world)
{
  make_rows(world);
  struct pg_tx *tx = lock_row(world, 1);
  struct crew crew = {.world = world};
  struct writer writer = {.crew = &crew, .update = increment_row(world, 1), .for_ever = true};
  crew_start(&crew, write_row, &writer);
  crew_join(&crew);
  cr_expect_eq(writer.status, STATUS_ABORTED, "%s", status_name(writer.status));
  pg_rollback(&tx);
}

Test(pg_locks, a_task_without_a_deadline_does_not_wait_for_ever)
{
  with_pg_options((struct pg_options){.statement_timeout_ms = 300}, check_no_deadline);
}
