// Who may wait for PostgreSQL, and who is refused at once because the queue is too long.
#include <criterion/criterion.h>

#include "common/storage/pg_internal.h"
#include "tests/component/storage/support.h"
#include "tests/support/common/yield_task.h"

// What takes ten minutes: nobody may wait behind as many as are served at a time.
#define FOREVER_US UINT64_C(600000000)

struct asker {
  struct crew *crew;
  struct task *task;
  uint64_t caller;
  bool by_key;  // a row by its key, gathered with those of others; else a write
  enum status status;
  bool has_ended;
};

static void run_asker(void *arg)
{
  struct asker *asker = arg;
  struct world *world = asker->crew->world;
  static const struct pg_statement slow_write = {
      .name = "slow_write", .sql = "SELECT pg_sleep(600)", .lane = PG_LANE_WRITE};
  static const struct pg_statement slow_rows = {
      .name = "slow_rows",
      .sql = "SELECT k.key, k.place FROM unnest($1::text[]) WITH ORDINALITY AS k(key, place), pg_sleep(600)",
      .lane = PG_LANE_POINT};
  struct pg_result result;
  task_set_caller(asker->caller);
  asker->status = asker->by_key ? pg_query_row(world->pg, &slow_rows, "key", &world->arena, &result)
                                : pg_query(world->pg, &slow_write, NULL, &world->arena, &result);
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
    askers[count].by_key = true;
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
