// Who gets a connection of a pool next, and how many one caller may have.
#include <criterion/criterion.h>

#include "common/storage/pg_internal.h"
#include "tests/component/storage/support.h"
#include "tests/support/common/yield_task.h"

struct worker {
  struct crew *crew;
  uint64_t caller;
  const struct pg_statement *statement;
  size_t *served;
  size_t place;  // in the order in which they were served, from 1; 0 before
};

static void work(void *arg)
{
  struct worker *worker = arg;
  struct world *world = worker->crew->world;
  struct pg_result result;
  task_set_caller(worker->caller);
  enum status status = pg_query(world->pg, worker->statement, NULL, &world->arena, &result);
  if (status == STATUS_OK)
    worker->place = ++*worker->served;
  crew_finished(worker->crew);
}

// ---- turns ----

static void check_turns(struct world *world)
{
  static const struct {
    uint64_t caller;
    size_t place;
  } asked[] = {{7, 1}, {7, 4}, {7, 6}, {8, 2}, {8, 5}, {0, 3}, {7, 7}};
  struct crew crew = {.world = world};
  struct worker workers[ARRAY_LEN(asked)];
  size_t served = 0;
  struct pg_tx *tx;
  cr_assert_eq(pg_begin(world->pg, &tx), STATUS_OK);
  for (size_t i = 0; i < ARRAY_LEN(asked); i++) {
    workers[i] = (struct worker){
        .crew = &crew, .caller = asked[i].caller, .statement = statement("SELECT 1", PG_LANE_WRITE), .served = &served};
    crew_start(&crew, work, &workers[i]);
    yield_task();
  }
  pg_rollback(&tx);
  crew_join(&crew);
  for (size_t i = 0; i < ARRAY_LEN(asked); i++)
    cr_expect_eq(workers[i].place, asked[i].place, "%zu was served in place %zu", i, workers[i].place);
}

Test(pg_turns, callers_take_turns_and_within_one_the_first_comes_first)
{
  with_pg_options((struct pg_options){.write_connections = 1}, check_turns);
}

// ---- shares ----

static void check_shares(struct world *world)
{
  enum { GREEDY = 30 };
  static const enum pg_lane lanes[] = {PG_LANE_WRITE, PG_LANE_SCAN};
  for (size_t i = 0; i < ARRAY_LEN(lanes); i++) {
    struct crew crew = {.world = world};
    struct worker greedy[GREEDY];
    struct task *tasks[GREEDY];
    size_t served = 0;
    for (size_t n = 0; n < GREEDY; n++) {
      greedy[n] = (struct worker){
          .crew = &crew, .caller = 7, .statement = statement("SELECT pg_sleep(600)", lanes[i]), .served = &served};
      crew.running++;
      tasks[n] = task_start(world->loop, work, &greedy[n], DEADLINE_NONE, NULL);
    }
    struct crew others = {.world = world};
    struct worker other = {
        .crew = &others, .caller = 8, .statement = statement("SELECT 1", lanes[i]), .served = &served};
    crew_start(&others, work, &other);
    crew_join(&others);
    cr_expect_eq(other.place, 1, "another caller finds a connection");
    struct pg_result result;
    const char *sql = arena_printf(&world->arena,
                                   "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%%pg_sleep(600)'"
                                   " AND state = 'active' AND application_name = '%s'",
                                   world->schema);
    do
      cr_assert_eq(pg_query(world->pg, statement(sql, PG_LANE_POINT), NULL, &world->arena, &result), STATUS_OK);
    while (pg_int(&result, 0, 0) < 3 && task_sleep_ms(1) == STATUS_OK);
    cr_expect_eq(pg_int(&result, 0, 0), 3, "three quarters of four");
    for (size_t n = 0; n < GREEDY; n++)
      task_cancel(tasks[n]);
    crew_join(&crew);
  }
}

Test(pg_turns, one_caller_never_has_a_whole_pool)
{
  with_pg_options((struct pg_options){.write_connections = 4, .scan_connections = 4, .statement_timeout_ms = 600000},
                  check_shares);
}

// ---- refusals ----

struct list_reader {
  struct crew *crew;
  struct task *task;
  uint64_t caller;
  enum status status;
  bool has_ended;
  bool found_full;
};

static void read_list(void *arg)
{
  struct list_reader *reader = arg;
  struct world *world = reader->crew->world;
  struct pg_result result;
  task_set_caller(reader->caller);
  reader->status = pg_query(world->pg, statement("SELECT pg_sleep(600)", PG_LANE_SCAN), NULL, &world->arena, &result);
  reader->found_full = task_found_full();
  reader->has_ended = true;
  crew_finished(reader->crew);
}

static void start_reader(struct list_reader *reader, struct crew *crew, uint64_t caller)
{
  *reader = (struct list_reader){.crew = crew, .caller = caller};
  crew->running++;
  reader->task = task_start(crew->world->loop, read_list, reader, DEADLINE_NONE, NULL);
  yield_task();
}

// Lists take ten minutes each, so none may wait behind as many as there are connections.
static void check_refusals(struct world *world)
{
  enum { OF_ONE = 8, OF_OTHERS = 7 };
  struct crew crew = {.world = world};
  struct list_reader readers[OF_ONE + OF_OTHERS];
  queue_limit_note_service(&world->pg->scans.limit, UINT64_C(600000000));
  for (size_t i = 0; i < OF_ONE; i++)
    start_reader(&readers[i], &crew, 7);
  cr_expect_eq(readers[OF_ONE - 1].status, STATUS_RESOURCE_EXHAUSTED);
  cr_expect_not(readers[OF_ONE - 1].found_full, "another caller would have its turn in time");
  for (size_t i = OF_ONE; i < OF_ONE + OF_OTHERS; i++)
    start_reader(&readers[i], &crew, 10 + i);
  cr_expect_not(readers[OF_ONE].has_ended);
  cr_expect_eq(readers[OF_ONE + OF_OTHERS - 1].status, STATUS_RESOURCE_EXHAUSTED);
  cr_expect(readers[OF_ONE + OF_OTHERS - 1].found_full, "too many callers, each with one list");
  for (size_t i = 0; i < OF_ONE + OF_OTHERS; i++)
    if (!readers[i].has_ended)
      task_cancel(readers[i].task);
  crew_join(&crew);
}

Test(pg_turns, a_refusal_tells_whether_it_is_for_one_caller_or_for_all)
{
  with_pg_options((struct pg_options){.write_connections = 1, .scan_connections = 4, .statement_timeout_ms = 600000},
                  check_refusals);
}
