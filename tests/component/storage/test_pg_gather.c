// pg_query_row: the rows that tasks ask for in one turn come by one query, and each task gets its own.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/component/storage/support.h"
#include "tests/support/common/read_metric.h"
#include "tests/support/common/yield_task.h"

struct look_up {
  struct crew *crew;
  const struct pg_statement *statement;
  const char *key;
  uint64_t patience_ms;  // 0: the test's
  struct pg_result result;
  enum status status;
  bool was_overdue;  // its deadline had passed when the answer came
};

static void look_up(void *arg)
{
  struct look_up *look = arg;
  struct world *world = look->crew->world;
  if (look->patience_ms != 0)
    (void)task_tighten_deadline(deadline_after_ms(clock_now_us(), look->patience_ms));
  look->status = pg_query_row(world->pg, look->statement, look->key, &world->arena, &look->result);
  look->was_overdue = task_check() == STATUS_DEADLINE_EXCEEDED;
  crew_finished(look->crew);
}

static void look_up_all(struct world *world, struct look_up *looks, size_t count)
{
  struct crew crew = {.world = world};
  for (size_t i = 0; i < count; i++) {
    looks[i].crew = &crew;
    crew_start(&crew, look_up, &looks[i]);
  }
  crew_join(&crew);
}

static int64_t times_sent(const struct pg_statement *statement, enum status status)
{
  struct slice labels[] = {slice_from_string(statement->name), slice_from_string(status_name(status))};
  return read_metric(METRIC_PG_QUERIES, labels, ARRAY_LEN(labels));
}

static const struct pg_statement *fill_table(struct world *world)
{
  run_sql(world, "CREATE TABLE t (id int PRIMARY KEY, name text, note text)");
  run_sql(world, "INSERT INTO t SELECT n, 'name ' || n, CASE WHEN n % 2 = 0 THEN 'even' END"
                 " FROM generate_series(1, 2000) n");
  return statement("SELECT id, name, note, k.place FROM unnest($1::int[]) WITH ORDINALITY AS k(key, place)"
                   " JOIN t ON id = k.key",
                   PG_LANE_POINT);
}

static void expect_row(const struct look_up *look)
{
  cr_assert_eq(look->status, STATUS_OK, "%s: %s", look->key, status_name(look->status));
  cr_assert_eq(look->result.rows, 1, "%s", look->key);
  cr_assert_eq(look->result.columns, 3, "the place is left out");
  cr_assert_str_eq(cell_text(&look->result, 0, 0), look->key);
  cr_assert_eq(strncmp(cell_text(&look->result, 0, 1), "name ", 5), 0);
  cr_assert_str_eq(cell_text(&look->result, 0, 1) + 5, look->key);
  cr_assert_eq(pg_is_null(&look->result, 0, 2), pg_int(&look->result, 0, 0) % 2 == 1);
}

static void check_own_rows(struct world *world)
{
  const struct pg_statement *by_id = fill_table(world);
  static struct look_up looks[100];
  for (size_t i = 0; i < ARRAY_LEN(looks); i++) {
    // The keys are in another order than the table's; some come twice, and two do not exist.
    const char *key = i == 7 ? "-1" : i == 99 ? "5000" : arena_printf(&world->arena, "%zu", 1 + (i * 37) % 90);
    looks[i] = (struct look_up){.statement = by_id, .key = key};
  }
  look_up_all(world, looks, ARRAY_LEN(looks));
  cr_assert_eq(times_sent(by_id, STATUS_OK), 1, "one statement for all");
  for (size_t i = 0; i < ARRAY_LEN(looks); i++) {
    if (i != 7 && i != 99) {
      expect_row(&looks[i]);
      continue;
    }
    cr_assert_eq(looks[i].status, STATUS_OK);
    cr_assert_eq(looks[i].result.rows, 0);
  }
}

Test(pg_gather, each_gets_its_own_row_from_one_statement)
{
  with_pg(check_own_rows);
}

static void check_many(struct world *world)
{
  const struct pg_statement *by_id = fill_table(world);
  enum { MANY = 2000 };
  struct look_up *looks = arena_array(&world->arena, MANY, sizeof(*looks));
  for (size_t i = 0; i < MANY; i++)
    looks[i] = (struct look_up){.statement = by_id, .key = arena_printf(&world->arena, "%zu", i + 1)};
  look_up_all(world, looks, MANY);
  for (size_t i = 0; i < MANY; i++)
    expect_row(&looks[i]);
  cr_assert_leq(times_sent(by_id, STATUS_OK), 20);
}

Test(pg_gather, more_than_one_statement_holds)
{
  with_pg(check_many);
}

static void check_bad_key(struct world *world)
{
  const struct pg_statement *by_id = fill_table(world);
  struct look_up looks[] = {{.statement = by_id, .key = "1"},
                            {.statement = by_id, .key = "not a number"},
                            {.statement = by_id, .key = "2"},
                            {.statement = by_id, .key = "{3,4}"},
                            {.statement = by_id, .key = "5"}};
  look_up_all(world, looks, ARRAY_LEN(looks));
  for (size_t i = 0; i < ARRAY_LEN(looks); i++) {
    if (i % 2 == 0)
      expect_row(&looks[i]);
    else
      cr_assert_eq(looks[i].status, STATUS_INVALID_ARGUMENT, "%s", looks[i].key);
  }
}

Test(pg_gather, a_key_that_cannot_be_fails_alone)
{
  with_pg(check_bad_key);
}

static int64_t count_sent(const struct pg_statement *statement)
{
  return times_sent(statement, STATUS_OK) + times_sent(statement, STATUS_INVALID_ARGUMENT) +
         times_sent(statement, STATUS_INTERNAL);
}

static void check_cost_of_errors(struct world *world)
{
  enum { KEYS = 256, FEW = 80 };  // a turn may make more than one batch
  static struct look_up looks[KEYS];
  const struct pg_statement *good = fill_table(world);
  const struct pg_statement *broken = statement("SELECT k.key, k.place FROM unnest($1::int[]) WITH ORDINALITY AS"
                                                " k(key, place) JOIN no_such_table ON true",
                                                PG_LANE_POINT);
  const struct pg_statement *no_keys_fault = statement(
      "SELECT 1 / (k.key - k.key), k.place FROM unnest($1::int[]) WITH ORDINALITY AS k(key, place)", PG_LANE_POINT);
  const struct {
    const struct pg_statement *statement;
    enum status status;
    const char *key;  // of one of them
    int64_t most;
  } cases[] = {{broken, STATUS_INTERNAL, "1", 4},
               {no_keys_fault, STATUS_INVALID_ARGUMENT, "1", FEW},
               {good, STATUS_OK, "bad", FEW}};
  for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
    for (size_t k = 0; k < KEYS; k++)
      looks[k] = (struct look_up){.statement = cases[i].statement,
                                  .key = k == 99 ? cases[i].key : arena_printf(&world->arena, "%zu", k + 1)};
    look_up_all(world, looks, KEYS);
    for (size_t k = 0; k < KEYS; k++) {
      enum status expected = k == 99 && cases[i].status == STATUS_OK ? STATUS_INVALID_ARGUMENT : cases[i].status;
      cr_expect_eq(looks[k].status, expected, "%zu, %zu: %s", i, k, status_name(looks[k].status));
    }
    cr_expect_leq(count_sent(cases[i].statement), cases[i].most, "%zu: %lld", i,
                  (long long)count_sent(cases[i].statement));
  }
}

Test(pg_gather, an_error_costs_few_statements)
{
  with_pg(check_cost_of_errors);
}

static void check_early_leaver(struct world *world)
{
  fill_table(world);
  const struct pg_statement *slow =
      statement("SELECT id, name, note, k.place FROM unnest($1::int[]) WITH ORDINALITY AS k(key, place)"
                " JOIN t ON id = k.key, pg_sleep(0.3)",
                PG_LANE_POINT);
  // The first read, one in the middle and the last leave early.
  struct look_up looks[] = {{.statement = slow, .key = "1", .patience_ms = 20},
                            {.statement = slow, .key = "2"},
                            {.statement = slow, .key = "3", .patience_ms = 30},
                            {.statement = slow, .key = "4"},
                            {.statement = slow, .key = "5", .patience_ms = 25}};
  look_up_all(world, looks, ARRAY_LEN(looks));
  for (size_t i = 0; i < ARRAY_LEN(looks); i++) {
    if (looks[i].patience_ms == 0) {
      expect_row(&looks[i]);
      continue;
    }
    cr_assert_eq(looks[i].status, STATUS_DEADLINE_EXCEEDED);
    cr_assert_eq(looks[i].result.rows, 0);
  }
}

Test(pg_gather, one_that_waits_no_longer_does_not_end_it_for_the_others)
{
  with_pg(check_early_leaver);
}

static bool are_at_work(void *arg)
{
  return read_single_metric(METRIC_TASKS) == *(const int64_t *)arg;
}

static void await_tasks(int64_t count)
{
  wait_until(are_at_work, &count);
}

static void check_all_leave(struct world *world)
{
  const struct pg_statement *slow =
      statement("SELECT k.place FROM unnest($1::int[]) WITH ORDINALITY AS k(key, place), pg_sleep(2)", PG_LANE_POINT);
  struct crew crew = {.world = world};
  struct look_up looks[] = {{.crew = &crew, .statement = slow, .key = "1"},
                            {.crew = &crew, .statement = slow, .key = "2"}};
  struct task *tasks[ARRAY_LEN(looks)];
  for (size_t i = 0; i < ARRAY_LEN(looks); i++) {
    crew.running++;
    tasks[i] = task_start(world->loop, look_up, &looks[i], DEADLINE_NONE, NULL);
  }
  // Four tasks: this one, the two readers, and the batch.
  await_tasks(4);
  for (size_t i = 0; i < ARRAY_LEN(looks); i++)
    task_cancel(tasks[i]);
  crew_join(&crew);
  for (size_t i = 0; i < ARRAY_LEN(looks); i++)
    cr_assert_eq(looks[i].status, STATUS_CANCELLED);
  await_tasks(1);
  cr_assert_eq(times_sent(slow, STATUS_CANCELLED), 1,
               "nothing is left that the end of the pool would have to wait for");
}

Test(pg_gather, when_all_have_left_the_statement_ends)
{
  with_pg(check_all_leave);
}

static void check_leaver_of_the_turn(struct world *world)
{
  const struct pg_options options = {.conninfo = getenv("BULKHEAD_TEST_PG")};
  world->pg = pg_create(world->loop, &options);
  cr_assert_eq(pg_wait_ready(world->pg), STATUS_OK);
  struct crew crew = {.world = world, .running = 1};
  struct look_up look = {.crew = &crew, .statement = statement("SELECT 1", PG_LANE_POINT), .key = "1"};
  struct task *task = task_start(world->loop, look_up, &look, DEADLINE_NONE, NULL);
  yield_task();
  task_cancel(task);
  crew_join(&crew);
  cr_assert_eq(look.status, STATUS_CANCELLED);
  pg_free(&world->pg);
}

Test(pg_gather, who_leaves_before_the_turn_ends_leaves_nothing)
{
  with_loop(check_leaver_of_the_turn);
}

static void check_away(struct world *world)
{
  struct server server;
  postgres_start(&server);
  const struct pg_options options = {
      .conninfo = arena_printf(&world->arena, "host=%s user=test dbname=postgres", server.folder)};
  world->pg = pg_create(world->loop, &options);
  cr_assert_eq(pg_wait_ready(world->pg), STATUS_OK);
  const struct pg_statement *by_id = fill_table(world);
  postgres_stop(&server);
  // The pool notices the closed connection at this statement, if not before.
  (void)run_status(world, "SELECT 1");
  // Long after the pool has given up, also where the machine is busy with other things.
  const uint64_t patience_ms = TEST_DEADLINE_MS / 2;
  struct look_up looks[] = {{.statement = by_id, .key = "1", .patience_ms = patience_ms},
                            {.statement = by_id, .key = "2", .patience_ms = patience_ms}};
  look_up_all(world, looks, ARRAY_LEN(looks));
  for (size_t i = 0; i < ARRAY_LEN(looks); i++) {
    cr_assert_eq(looks[i].status, STATUS_UNAVAILABLE, "%s", status_name(looks[i].status));
    cr_assert_not(looks[i].was_overdue);
  }
  pg_free(&world->pg);
}

Test(pg_gather, a_server_that_is_away_is_told_in_time)
{
  with_loop(check_away);
}
