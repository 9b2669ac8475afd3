// Lanes: what shares a connection with what, and what becomes of a statement that nobody waits for any more.
#include <criterion/criterion.h>
#include <string.h>

#include "tests/component/storage/support.h"
#include "tests/support/common/read_metric.h"
#include "tests/support/common/yield_task.h"

// One in each lane.
static const struct pg_options ONE_EACH = {
    .pipelined_connections = 1, .write_connections = 1, .scan_connections = 1, .statement_timeout_ms = 600000};

// Looks at the server through a pool of its own.
static struct pg *watcher;

static void start_watching(struct world *world)
{
  watcher = pg_create(world->loop, &(const struct pg_options){.conninfo = world->conninfo});
  cr_assert_eq(pg_wait_ready(watcher), STATUS_OK);
}

static bool is_active(struct world *world, const char *text)
{
  const char *sql = arena_printf(&world->arena,
                                 "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%%%s%%' AND state = 'active'"
                                 " AND application_name = '%s'",
                                 text, world->schema);
  struct pg_result result;
  cr_assert_eq(pg_query(watcher, statement(sql, PG_LANE_SCAN), NULL, &world->arena, &result), STATUS_OK);
  return result.rows > 0;
}

static void await_active(struct world *world, const char *text, bool expected)
{
  while (is_active(world, text) != expected)
    cr_assert_eq(task_sleep_ms(1), STATUS_OK, "%s", text);
}

// A statement that a task of its own runs.
struct asker {
  struct crew *crew;
  const struct pg_statement *statement;
  uint64_t patience_ms;  // 0: the test's
  enum status status;
  enum task_effect effect;
  struct pg_result result;
};

static void ask_alone(void *arg)
{
  struct asker *asker = arg;
  struct world *world = asker->crew->world;
  if (asker->patience_ms > 0)
    (void)task_tighten_deadline(deadline_after_ms(clock_now_us(), asker->patience_ms));
  asker->status = pg_query(world->pg, asker->statement, NULL, &world->arena, &asker->result);
  asker->effect = task_effect();
  crew_finished(asker->crew);
}

static struct task *start_asker(struct asker *asker)
{
  asker->crew->running++;
  return task_start(asker->crew->world->loop, ask_alone, asker, DEADLINE_NONE, NULL);
}

// ---- lanes apart ----

static enum status ask_lane(struct world *world, const char *sql, enum pg_lane lane)
{
  struct pg_result result;
  return pg_query(world->pg, statement(sql, lane), NULL, &world->arena, &result);
}

static void check_apart(struct world *world)
{
  static const enum pg_lane lanes[] = {PG_LANE_WRITE, PG_LANE_POINT, PG_LANE_SCAN};
  start_watching(world);
  for (size_t busy = 0; busy < ARRAY_LEN(lanes); busy++) {
    struct crew crew = {.world = world};
    struct asker slow = {.crew = &crew, .statement = statement("SELECT pg_sleep(600)", lanes[busy])};
    struct task *task = start_asker(&slow);
    await_active(world, "pg_sleep(600)", true);
    for (size_t i = 0; i < ARRAY_LEN(lanes); i++)
      if (i != busy)
        cr_expect_eq(ask_lane(world, "SELECT 1", lanes[i]), STATUS_OK, "lane %zu behind %zu", i, busy);
    task_cancel(task);
    crew_join(&crew);
    await_active(world, "pg_sleep(600)", false);
  }
  pg_free(&watcher);
}

Test(pg_lanes, nothing_waits_behind_another_lane)
{
  with_pg_options(ONE_EACH, check_apart);
}

// ---- leaving ----

static void check_left(struct world *world)
{
  static const enum pg_lane lanes[] = {PG_LANE_WRITE, PG_LANE_POINT, PG_LANE_SCAN};
  start_watching(world);
  for (size_t i = 0; i < ARRAY_LEN(lanes); i++) {
    for (int overdue = 0; overdue <= 1; overdue++) {
      struct crew crew = {.world = world};
      const char *sql = arena_printf(&world->arena, "SELECT pg_sleep(%zu)", 600 + 2 * i + (size_t)overdue);
      struct asker slow = {
          .crew = &crew, .statement = statement(sql, lanes[i]), .patience_ms = overdue ? 50 : TEST_DEADLINE_MS};
      struct task *task = start_asker(&slow);
      if (!overdue) {
        await_active(world, sql, true);
        task_cancel(task);
      }
      crew_join(&crew);
      cr_expect_eq(slow.status, overdue ? STATUS_DEADLINE_EXCEEDED : STATUS_CANCELLED, "%s", status_name(slow.status));
      cr_expect_eq(slow.effect, TASK_NO_EFFECT, "what was cancelled is known not to have happened");
      await_active(world, sql, false);
      cr_expect_eq(ask_lane(world, "SELECT 1", lanes[i]), STATUS_OK, "the one connection of the lane is free again");
    }
  }
  pg_free(&watcher);
}

Test(pg_lanes, what_nobody_waits_for_is_cancelled_in_the_server)
{
  with_pg_options(ONE_EACH, check_left);
}

// The first read is left while the server is busy with it, or just after. The cancel request then hits whichever of the
// three it is busy with by then.
static void check_neighbours(struct world *world)
{
  enum { ROUNDS = 60 };
  const struct pg_statement *left = statement("SELECT pg_sleep(0.035)", PG_LANE_POINT);
  const struct pg_statement *beside = statement("SELECT 'beside', pg_sleep(0.01)", PG_LANE_POINT);
  for (int round = 0; round < ROUNDS; round++) {
    struct crew crew = {.world = world};
    struct asker askers[] = {{.crew = &crew, .statement = left, .patience_ms = 5},
                             {.crew = &crew, .statement = beside},
                             {.crew = &crew, .statement = beside}};
    for (size_t i = 0; i < ARRAY_LEN(askers); i++)
      start_asker(&askers[i]);
    crew_join(&crew);
    cr_expect_eq(askers[0].status, STATUS_DEADLINE_EXCEEDED);
    for (size_t i = 1; i < ARRAY_LEN(askers); i++) {
      cr_assert_eq(askers[i].status, STATUS_OK, "round %d: %s", round, status_name(askers[i].status));
      cr_expect(slice_equal_string(pg_slice(&askers[i].result, 0, 0), "beside"));
    }
  }
  cr_expect_gt(read_single_metric(METRIC_PG_CANCELS), 0);
}

Test(pg_lanes, a_read_beside_a_cancelled_one_gets_its_answer)
{
  with_pg_options(ONE_EACH, check_neighbours);
}

// The read that is left waits behind one of another turn.
static void check_patient_head(struct world *world)
{
  struct crew crew = {.world = world};
  struct asker head = {.crew = &crew, .statement = statement("SELECT 'head', pg_sleep(0.3)", PG_LANE_POINT)};
  struct asker left = {.crew = &crew, .statement = statement("SELECT pg_sleep(600)", PG_LANE_POINT), .patience_ms = 20};
  start_watching(world);
  start_asker(&head);
  await_active(world, "head", true);
  start_asker(&left);
  crew_join(&crew);
  cr_expect_eq(head.status, STATUS_OK);
  cr_expect_eq(left.status, STATUS_DEADLINE_EXCEEDED);
  cr_expect_eq(ask_lane(world, "SELECT 1", PG_LANE_POINT), STATUS_OK, "the connection is free again");
  pg_free(&watcher);
}

Test(pg_lanes, a_read_that_was_left_is_cancelled_when_the_server_comes_to_it)
{
  with_pg_options(ONE_EACH, check_patient_head);
}

// ---- too late ----

// The writer gets its connection in time, but its turn comes after its deadline, because another task computes.
static void check_late_turn(struct world *world)
{
  run_sql(world, "CREATE TABLE t (id int)");
  struct pg_tx *tx;
  cr_assert_eq(pg_begin(world->pg, &tx), STATUS_OK);
  struct crew crew = {.world = world};
  struct asker late = {
      .crew = &crew, .statement = statement("INSERT INTO t VALUES (1)", PG_LANE_WRITE), .patience_ms = 100};
  start_asker(&late);
  yield_task();
  yield_task();
  uint64_t end_us = deadline_after_ms(clock_now_us(), late.patience_ms + 1);
  pg_rollback(&tx);
  while (clock_now_us() < end_us)
    continue;
  crew_join(&crew);
  cr_expect_eq(late.status, STATUS_DEADLINE_EXCEEDED, "%s", status_name(late.status));
  cr_expect_eq(late.effect, TASK_NO_EFFECT);
  cr_expect_str_eq(run_sql(world, "SELECT count(*) FROM t"), "0");
}

Test(pg_lanes, nothing_is_sent_after_its_deadline_even_when_its_turn_comes_late)
{
  with_pg_options(ONE_EACH, check_late_turn);
}

// ---- what has really happened ----

// A write that takes this many cancel requests before it ends.
static void make_stubborn(struct world *world)
{
  run_sql(world, "CREATE TABLE t (id int)");
  run_sql(world, "CREATE FUNCTION put(id int, cancels int) RETURNS void LANGUAGE plpgsql AS $$"
                 " BEGIN INSERT INTO t VALUES (id);"
                 " FOR i IN 1 .. cancels LOOP"
                 "   BEGIN PERFORM pg_sleep(600); EXCEPTION WHEN query_canceled THEN NULL; END;"
                 " END LOOP; END $$");
}

static void check_outcomes(struct world *world)
{
  make_stubborn(world);
  start_watching(world);
  struct crew crew = {.world = world};
  struct asker made = {.crew = &crew, .statement = statement("SELECT put(1, 1)", PG_LANE_WRITE), .patience_ms = 50};
  struct asker unknown = {.crew = &crew, .statement = statement("SELECT put(2, 20)", PG_LANE_WRITE), .patience_ms = 50};
  start_asker(&made);
  crew_join(&crew);
  cr_expect_eq(made.status, STATUS_OK, "it was made although it was cancelled: %s", status_name(made.status));
  cr_expect_eq(made.effect, TASK_EFFECT_DONE);
  start_asker(&unknown);
  crew_join(&crew);
  cr_expect_eq(unknown.status, STATUS_DEADLINE_EXCEEDED, "%s", status_name(unknown.status));
  cr_expect_eq(unknown.effect, TASK_EFFECT_UNKNOWN, "its caller does not wait for ever");
  await_active(world, "SELECT put(2", false);
  // The second is there or not, as its caller was told: a cancel request between two waits ends it.
  cr_expect_str_eq(run_sql(world, "SELECT count(*) FROM t WHERE id = 1"), "1");
  pg_free(&watcher);
}

Test(pg_lanes, a_write_that_was_cancelled_too_late_is_told_as_it_is)
{
  with_pg_options(ONE_EACH, check_outcomes);
}

struct committer {
  struct crew *crew;
  enum status status;
  enum task_effect effect;
  enum status after;  // of task_check under the shield of the caller
};

static void commit_late(void *arg)
{
  struct committer *committer = arg;
  struct world *world = committer->crew->world;
  struct pg_result result;
  struct pg_tx *tx;
  cr_assert_eq(pg_begin(world->pg, &tx), STATUS_OK);
  const struct pg_statement *insert = statement("INSERT INTO slow VALUES (1)", PG_LANE_WRITE);
  cr_assert_eq(pg_tx_query(tx, insert, NULL, &world->arena, &result), STATUS_OK);
  task_shield(true);
  (void)task_tighten_deadline(deadline_after_ms(clock_now_us(), 30));
  committer->status = pg_commit(&tx);
  task_restore_deadline(DEADLINE_NONE);
  task_cancel(task_current());
  committer->after = task_check();
  task_shield(false);
  committer->effect = task_effect();
  crew_finished(committer->crew);
}

// The commit runs a deferred trigger.
static void check_late_commit(struct world *world)
{
  run_sql(world, "CREATE TABLE slow (id int)");
  run_sql(world, "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS"
                 " $$ BEGIN PERFORM pg_sleep(0.1); RETURN NULL; END $$");
  run_sql(world, "CREATE CONSTRAINT TRIGGER slow_wait AFTER INSERT ON slow DEFERRABLE INITIALLY DEFERRED"
                 " FOR EACH ROW EXECUTE FUNCTION wait()");
  struct crew crew = {.world = world};
  struct committer committer = {.crew = &crew};
  crew_start(&crew, commit_late, &committer);
  crew_join(&crew);
  cr_expect_eq(committer.status, STATUS_OK, "%s", status_name(committer.status));
  cr_expect_eq(committer.effect, TASK_EFFECT_DONE);
  cr_expect_eq(committer.after, STATUS_OK, "the commit left the shield of its caller alone");
  cr_expect_str_eq(run_sql(world, "SELECT count(*) FROM slow"), "1");
}

Test(pg_lanes, a_commit_that_was_sent_is_waited_for_past_the_deadline)
{
  with_pg_options(ONE_EACH, check_late_commit);
}
