// Who may wait for PostgreSQL, and who is refused at once because the queue is too long.
#include <criterion/criterion.h>

#include "common/storage/pg_internal.h"
#include "tests/component/storage/support.h"
#include "tests/support/common/yield_task.h"

// What takes ten minutes: nobody may wait behind as many as are served at a time.
#define FOREVER_US UINT64_C(600000000)

enum kind {
  KIND_WRITE,
  KIND_ROW,     // by its key, gathered with those of others
  KIND_CHANGE,  // of a row, gathered with those of others
};

struct asker {
  struct crew *crew;
  struct task *task;
  uint64_t caller;
  enum kind kind;
  enum status status;
  bool has_ended;
};

static void add_keys(const void *arg, struct pg_params *params, const void *const *items, size_t count)
{
  (void)arg;
  pg_add_text_array(params, (const char *const *)items, count);
}

static enum status run_kind(struct asker *asker)
{
  struct world *world = asker->crew->world;
  static const struct pg_statement slow_write = {
      .name = "slow_write", .sql = "SELECT pg_sleep(600)", .lane = PG_LANE_WRITE};
#define SLOW_ROWS "SELECT k.key, k.place FROM unnest($1::text[]) WITH ORDINALITY AS k(key, place), pg_sleep(600)"
  static const struct pg_statement slow_rows = {.name = "slow_rows", .sql = SLOW_ROWS, .lane = PG_LANE_POINT};
  static const struct pg_statement slow_change = {.name = "slow_change", .sql = SLOW_ROWS, .lane = PG_LANE_WRITE};
  static const struct pg_change change = {
      .statement = &slow_change, .key = "key", .item = "key", .add_params = add_keys};
  struct pg_result result;
  switch (asker->kind) {
  case KIND_WRITE:
    return pg_query(world->pg, &slow_write, NULL, &world->arena, &result);
  case KIND_ROW:
    return pg_query_row(world->pg, &slow_rows, "key", &world->arena, &result);
  case KIND_CHANGE:
    break;
  }
  return pg_change_row(world->pg, &change, &world->arena, &result);
}

static void run_asker(void *arg)
{
  struct asker *asker = arg;
  task_set_caller(asker->caller);
  asker->status = run_kind(asker);
  asker->has_ended = true;
  crew_finished(asker->crew);
}

static void start_asker(struct asker *asker, struct crew *crew, uint64_t caller, uint64_t deadline_us)
{
  asker->crew = crew;
  asker->caller = caller;
  crew->running++;
  asker->task = task_start(crew->world->loop, run_asker, asker, deadline_us, NULL);
}

static void end_askers(struct crew *crew, struct asker *askers, size_t count)
{
  for (size_t i = 0; i < count; i++)
    if (!askers[i].has_ended)
      task_cancel(askers[i].task);
  crew_join(crew);
}

// ---- writes ----

static void check_writes(struct world *world)
{
  struct crew crew = {.world = world};
  static struct asker askers[3];
  struct pg_tx *tx;
  cr_assert_eq(pg_begin(world->pg, &tx), STATUS_OK);
  queue_limit_note_service(&world->pg->writes.limit, FOREVER_US);
  for (size_t i = 0; i < 2; i++) {
    start_asker(&askers[i], &crew, 7 + i, DEADLINE_NONE);
    yield_task();
  }
  cr_expect_not(askers[0].has_ended, "the next one waits");
  cr_expect_eq(askers[1].status, STATUS_RESOURCE_EXHAUSTED);
  cr_expect(askers[1].has_ended);
  start_asker(&askers[2], &crew, 0, DEADLINE_NONE);
  yield_task();
  cr_expect_not(askers[2].has_ended, "the process' own work waits");
  end_askers(&crew, askers, 3);
  pg_rollback(&tx);
}

Test(pg_queues, a_write_that_would_wait_for_too_long_is_refused_at_once)
{
  with_pg_options((struct pg_options){.write_connections = 1, .statement_timeout_ms = 600000}, check_writes);
}

static void check_deadline(struct world *world)
{
  struct crew crew = {.world = world};
  static struct asker askers[3];
  struct queue_limit *limit = &world->pg->writes.limit;
  struct pg_tx *tx;
  cr_assert_eq(pg_begin(world->pg, &tx), STATUS_OK);
  // A burst may wait for a second, and the second one has less time.
  *limit = (struct queue_limit){.service_us = 400000};
  for (size_t i = 0; i < 3; i++) {
    uint64_t left_us = i == 1 ? 390000 : UINT64_C(60000000);
    start_asker(&askers[i], &crew, 7 + i, loop_now_us(world->loop) + left_us);
    yield_task();
    // However slow the machine is, the queue is a burst.
    limit->waiting_since_us = UINT64_MAX;
  }
  cr_expect(askers[1].has_ended, "it is told before its time is over");
  cr_expect_eq(askers[1].status, STATUS_RESOURCE_EXHAUSTED);
  cr_expect_not(askers[2].has_ended, "it waits");
  end_askers(&crew, askers, 3);
  pg_rollback(&tx);
}

Test(pg_queues, a_write_that_would_not_begin_in_time_is_refused_at_once)
{
  with_pg_options((struct pg_options){.write_connections = 1, .statement_timeout_ms = 600000}, check_deadline);
}

// ---- rows by key ----

static void check_rows(struct world *world)
{
  // As many as fill the two batches that run side by side on the one connection may always wait behind those.
  enum { FILLS = 2 * 256, COUNT = 2 * FILLS + 1 };
  struct crew crew = {.world = world};
  static struct asker askers[COUNT];
  size_t count = 0;
  cr_assert_eq(pg_wait_ready(world->pg), STATUS_OK);
  queue_limit_note_service(&world->pg->read_limit, FOREVER_US);
  do {
    askers[count].kind = KIND_ROW;
    start_asker(&askers[count], &crew, 7 + count, DEADLINE_NONE);
    yield_task();
  } while (!askers[count++].has_ended && count < COUNT);
  cr_expect_gt(count, FILLS, "they may wait");
  cr_expect_eq(askers[count - 1].status, STATUS_RESOURCE_EXHAUSTED);
  cr_expect(askers[count - 1].has_ended);
  end_askers(&crew, askers, count);
  cr_expect_eq(world->pg->gathered_keys, 0);
}

Test(pg_queues, a_row_that_would_be_waited_for_for_too_long_is_refused_at_once)
{
  with_pg_options((struct pg_options){.pipelined_connections = 1, .statement_timeout_ms = 600000}, check_rows);
}

// ---- gathered changes ----

enum { ONE_WITH_MANY = 7, ANOTHER = 8, SELF = 0 };

static void check_changes(struct world *world)
{
  // What one client asks for over 128 connections may always wait, behind the two batches that run side by side.
  enum { ALWAYS = 128, IN_BATCHES = 2 * 32, COUNT = ALWAYS + IN_BATCHES + 3 };
  struct crew crew = {.world = world};
  static struct asker askers[COUNT];
  size_t count = 0;
  cr_assert_eq(pg_wait_ready(world->pg), STATUS_OK);
  queue_limit_note_service(&world->pg->change_limit, FOREVER_US);
  do {
    askers[count].kind = KIND_CHANGE;
    start_asker(&askers[count], &crew, ONE_WITH_MANY, DEADLINE_NONE);
    yield_task();
  } while (!askers[count++].has_ended && count < COUNT - 2);
  cr_expect_gt(count, ALWAYS, "they may wait");
  cr_expect_eq(askers[count - 1].status, STATUS_RESOURCE_EXHAUSTED);
  cr_expect(askers[count - 1].has_ended);
  for (uint64_t i = 0; i < 2; i++) {
    askers[count].kind = KIND_CHANGE;
    start_asker(&askers[count], &crew, i == 0 ? ANOTHER : SELF, DEADLINE_NONE);
    yield_task();
    cr_expect_not(askers[count++].has_ended, "those of others and the process' own wait");
  }
  end_askers(&crew, askers, count);
  cr_expect_eq(world->pg->waiting_changes, 0);
}

Test(pg_queues, a_change_that_would_wait_for_too_long_is_refused_at_once)
{
  with_pg_options((struct pg_options){.statement_timeout_ms = 600000}, check_changes);
}
