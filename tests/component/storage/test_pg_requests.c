// The life of a request: which transaction it runs in, when it is retried, and what an overdue one may still do.
#include <criterion/criterion.h>
#include <string.h>

#include "tests/component/storage/support.h"

static const struct pg_options ONE_CONNECTION = {.pipelined_connections = 1, .write_connections = 1};

// PostgreSQL's now() is the start of the transaction.
static void check_groups(struct world *world)
{
  const struct pg_statement *read = statement("SELECT clock_timestamp()::text, now()::text", PG_LANE_POINT);
  const struct pg_statement *write = statement("SELECT clock_timestamp()::text, txid_current()::text", PG_LANE_WRITE);
  struct ask asks[] = {{.statement = read}, {.statement = write}, {.statement = read}, {.statement = write}};
  ask_all(world, asks, ARRAY_LEN(asks));
  for (size_t i = 0; i < ARRAY_LEN(asks); i++)
    cr_assert_eq(asks[i].status, STATUS_OK);
  cr_expect_str_eq(cell_text(&asks[0].result, 0, 1), cell_text(&asks[2].result, 0, 1), "the reads of a turn share one");
  cr_expect_str_neq(cell_text(&asks[1].result, 0, 1), cell_text(&asks[3].result, 0, 1), "each write has its own");
}

Test(pg_requests, reads_of_a_turn_share_a_transaction_and_writes_do_not)
{
  with_pg_options(ONE_CONNECTION, check_groups);
}

// A sequence keeps counting through rollbacks.
static void check_retries(struct world *world)
{
  run_sql(world, "CREATE SEQUENCE calls");
  run_sql(world, "CREATE FUNCTION never() RETURNS int LANGUAGE plpgsql AS $$ BEGIN PERFORM nextval('calls');"
                 " RAISE EXCEPTION 'gone' USING ERRCODE = '26000'; END $$");
  static const enum pg_lane lanes[] = {PG_LANE_WRITE, PG_LANE_POINT, PG_LANE_SCAN};
  for (size_t i = 0; i < ARRAY_LEN(lanes); i++) {
    struct pg_result result;
    const struct pg_statement *call = statement("SELECT never()", lanes[i]);
    cr_assert_eq(pg_query(world->pg, call, NULL, &world->arena, &result), STATUS_INTERNAL);
    cr_expect_str_eq(run_sql(world, "SELECT last_value / 2 FROM calls"), arena_printf(&world->arena, "%zu", i + 1));
  }
}

Test(pg_requests, a_statement_that_the_server_does_not_keep_is_prepared_again_once)
{
  with_pg_options(ONE_CONNECTION, check_retries);
}

static void check_overdue(struct world *world)
{
  struct pg_result result;
  struct pg_tx *tx;
  run_sql(world, "CREATE TABLE t (id int)");
  // The connection for writes is open, so the overdue task would not have to wait for it.
  cr_assert_eq(pg_query(world->pg, statement("SELECT 1", PG_LANE_WRITE), NULL, &world->arena, &result), STATUS_OK);
  uint64_t before = task_tighten_deadline(clock_now_us());
  const struct pg_statement *inserts[] = {statement("INSERT INTO t VALUES (1)", PG_LANE_WRITE),
                                          statement("INSERT INTO t VALUES (2)", PG_LANE_WRITE)};
  for (size_t i = 0; i < ARRAY_LEN(inserts); i++)
    cr_expect_eq(pg_query(world->pg, inserts[i], NULL, &world->arena, &result), STATUS_DEADLINE_EXCEEDED);
  cr_expect_eq(pg_begin(world->pg, &tx), STATUS_DEADLINE_EXCEEDED);
  cr_expect_null(tx);
  task_restore_deadline(before);
  // The connections are drained in order, so what was sent would be visible now.
  cr_assert_eq(pg_query(world->pg, statement("SELECT 1", PG_LANE_WRITE), NULL, &world->arena, &result), STATUS_OK);
  cr_expect_str_eq(run_sql(world, "SELECT count(*) FROM t"), "0");
}

Test(pg_requests, an_overdue_task_sends_nothing)
{
  with_pg_options((struct pg_options){.pipelined_connections = 1, .write_connections = 1}, check_overdue);
}

static void check_overdue_transaction(struct world *world)
{
  struct pg_result result;
  struct pg_tx *tx;
  run_sql(world, "CREATE TABLE t (id int)");
  cr_assert_eq(pg_begin(world->pg, &tx), STATUS_OK);
  const struct pg_statement *insert = statement("INSERT INTO t VALUES (1)", PG_LANE_WRITE);
  cr_assert_eq(pg_tx_query(tx, insert, NULL, &world->arena, &result), STATUS_OK);
  uint64_t before = task_tighten_deadline(clock_now_us());
  cr_expect_eq(pg_tx_query(tx, insert, NULL, &world->arena, &result), STATUS_DEADLINE_EXCEEDED);
  task_restore_deadline(before);
  cr_expect_eq(pg_tx_query(tx, insert, NULL, &world->arena, &result), STATUS_ABORTED);
  cr_expect_eq(pg_commit(&tx), STATUS_ABORTED);
  cr_expect_str_eq(run_sql(world, "SELECT count(*) FROM t"), "0");
}

Test(pg_requests, a_transaction_that_was_overdue_once_cannot_be_committed)
{
  with_pg(check_overdue_transaction);
}

struct committer {
  struct crew *crew;
  enum status status;
  bool sent;
};

static void commit_slowly(void *arg)
{
  struct committer *committer = arg;
  struct world *world = committer->crew->world;
  struct pg_result result;
  struct pg_tx *tx;
  cr_assert_eq(pg_begin(world->pg, &tx), STATUS_OK);
  cr_assert_eq(pg_tx_query(tx, statement("INSERT INTO slow VALUES (1)", PG_LANE_WRITE), NULL, &world->arena, &result),
               STATUS_OK);
  committer->sent = true;
  committer->status = pg_commit(&tx);
  crew_finished(committer->crew);
}

static bool has_sent(void *arg)
{
  return ((struct committer *)arg)->sent;
}

// The commit runs a deferred trigger, so that there is time to cancel its task meanwhile.
static void check_cancelled_commit(struct world *world)
{
  run_sql(world, "CREATE TABLE slow (id int)");
  run_sql(world, "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS"
                 " $$ BEGIN PERFORM pg_sleep(0.2); RETURN NULL; END $$");
  run_sql(world, "CREATE CONSTRAINT TRIGGER slow_wait AFTER INSERT ON slow DEFERRABLE INITIALLY DEFERRED"
                 " FOR EACH ROW EXECUTE FUNCTION wait()");
  struct crew crew = {.world = world, .running = 1};
  struct committer committer = {.crew = &crew};
  struct task *task = task_start(world->loop, commit_slowly, &committer, DEADLINE_NONE, NULL);
  wait_until(has_sent, &committer);
  task_cancel(task);
  crew_join(&crew);
  cr_expect_eq(committer.status, STATUS_OK, "%s", status_name(committer.status));
  cr_expect_str_eq(run_sql(world, "SELECT count(*) FROM slow"), "1");
}

Test(pg_requests, a_commit_that_was_sent_is_waited_for_though_its_task_is_cancelled)
{
  with_pg(check_cancelled_commit);
}
