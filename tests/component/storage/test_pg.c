// Single statements.
#include <criterion/criterion.h>
#include <string.h>

#include "tests/component/storage/support.h"
#include "tests/support/common/read_metric.h"
#include "tests/support/common/yield_task.h"

static void check_values(struct world *world)
{
  struct pg_params params;
  struct pg_result result;
  const char *tags[] = {"plain", "with \"quotes\", {braces} and \\", NULL, "", "NULL"};
  const int64_t numbers[] = {INT64_MIN, 0, INT64_MAX};
  const char bytes[] = {0, 1, (char)0xff, 0};
  pg_params_init(&params, &world->arena);
  pg_add_text(&params, "größe");
  pg_add_text(&params, NULL);
  pg_add_slice(&params, slice_make("cut here", 3));
  pg_add_int(&params, INT64_MIN);
  pg_add_bool(&params, true);
  pg_add_bytes(&params, slice_make(bytes, sizeof(bytes)));
  pg_add_text_array(&params, tags, ARRAY_LEN(tags));
  pg_add_int_array(&params, numbers, ARRAY_LEN(numbers));
  const struct pg_statement *select =
      statement("SELECT $1::text, $2::text, $3::text, $4::bigint, $5::boolean, encode($6, 'hex'), $7::text[], "
                "$8::bigint[], cardinality($7::text[]), '{}'::text[]",
                PG_LANE_POINT);
  cr_assert_eq(pg_query(world->pg, select, &params, &world->arena, &result), STATUS_OK);
  cr_assert_eq(result.rows, 1);
  cr_assert_eq(result.columns, 10);
  cr_assert_str_eq(cell_text(&result, 0, 0), "größe");
  cr_assert(pg_is_null(&result, 0, 1));
  cr_assert_null(cell_text(&result, 0, 1));
  cr_assert_str_eq(cell_text(&result, 0, 2), "cut");
  cr_assert_eq(pg_int(&result, 0, 3), INT64_MIN);
  cr_assert_str_eq(cell_text(&result, 0, 4), "t");
  cr_assert_str_eq(cell_text(&result, 0, 5), "0001ff00");
  cr_assert_str_eq(cell_text(&result, 0, 7), "{-9223372036854775808,0,9223372036854775807}");
  char **items;
  size_t count;
  cr_assert_eq(pg_text_array(&result, 0, 6, &world->arena, &items, &count), STATUS_OK);
  cr_assert_eq(count, ARRAY_LEN(tags));
  for (size_t i = 0; i < count; i++)
    cr_assert(tags[i] == NULL ? items[i] == NULL : strcmp(tags[i], items[i]) == 0, "item %zu", i);
  cr_assert_eq(pg_text_array(&result, 0, 9, &world->arena, &items, &count), STATUS_OK);
  cr_assert_eq(count, 0);
}

Test(pg, values_come_back_as_they_went_in)
{
  with_pg(check_values);
}

static void check_results(struct world *world)
{
  struct pg_result result;
  run_sql(world, "CREATE TABLE t (id int PRIMARY KEY, big text)");
  const struct pg_statement *insert =
      statement("INSERT INTO t SELECT n, repeat('x', 1000) FROM generate_series(1, 5000) n", PG_LANE_WRITE);
  cr_assert_eq(pg_query(world->pg, insert, NULL, &world->arena, &result), STATUS_OK);
  cr_assert_eq(result.affected, 5000);
  cr_assert_eq(result.rows, 0);
  const struct pg_statement *all = statement("SELECT id, big FROM t ORDER BY id", PG_LANE_POINT);
  cr_assert_eq(pg_query(world->pg, all, NULL, &world->arena, &result), STATUS_OK);
  cr_assert_eq(result.rows, 5000);
  for (size_t row = 0; row < result.rows; row++) {
    cr_assert_eq(pg_int(&result, row, 0), (int64_t)row + 1);
    cr_assert_eq(pg_slice(&result, row, 1).size, 1000);
  }
  const struct pg_statement *none = statement("SELECT id FROM t WHERE id < 0", PG_LANE_POINT);
  cr_assert_eq(pg_query(world->pg, none, NULL, &world->arena, &result), STATUS_OK);
  cr_assert_eq(result.rows, 0);
  cr_assert_eq(result.columns, 1);
}

Test(pg, large_and_empty_results)
{
  with_pg(check_results);
}

static void check_large_parameter(struct world *world)
{
  enum { SIZE = 8 << 20 };
  char *text = arena_alloc(&world->arena, SIZE + 1);
  memset(text, 'y', SIZE);
  text[SIZE] = '\0';
  struct pg_params params;
  struct pg_result result;
  pg_params_init(&params, &world->arena);
  pg_add_text(&params, text);
  const struct pg_statement *select = statement("SELECT length($1::text), $1::text", PG_LANE_POINT);
  cr_assert_eq(pg_query(world->pg, select, &params, &world->arena, &result), STATUS_OK);
  cr_assert_eq(pg_int(&result, 0, 0), SIZE);
  cr_assert_eq(memcmp(cell_text(&result, 0, 1), text, SIZE), 0);
}

Test(pg, a_parameter_larger_than_any_socket_buffer)
{
  with_pg(check_large_parameter);
}

static void expect_failure(struct world *world, const char *sql, enum status expected, const char *sqlstate)
{
  struct pg_result result;
  enum status status = pg_query(world->pg, statement(sql, PG_LANE_WRITE), NULL, &world->arena, &result);
  cr_assert_eq(status, expected, "%s: %s", sql, status_name(status));
  cr_assert(slice_equal_string(result.sqlstate, sqlstate), "%s: " SLICE_FMT, sql, SLICE_ARG(result.sqlstate));
  cr_assert_eq(result.rows, 0);
}

static void check_errors(struct world *world)
{
  run_sql(world, "CREATE TABLE owner (id int PRIMARY KEY)");
  run_sql(world, "CREATE TABLE t (id int CONSTRAINT t_key UNIQUE, owner int REFERENCES owner, n int CHECK (n > 0))");
  run_sql(world, "INSERT INTO t VALUES (1, NULL, 1)");
  expect_failure(world, "INSERT INTO t VALUES (1, NULL, 1)", STATUS_ALREADY_EXISTS, "23505");
  expect_failure(world, "INSERT INTO t VALUES (2, 7, 1)", STATUS_FAILED_PRECONDITION, "23503");
  expect_failure(world, "INSERT INTO t VALUES (2, NULL, 0)", STATUS_FAILED_PRECONDITION, "23514");
  expect_failure(world, "SELECT 'x'::int", STATUS_INVALID_ARGUMENT, "22P02");
  expect_failure(world, "SELECT 1/0", STATUS_INVALID_ARGUMENT, "22012");
  expect_failure(world, "SELEC 1", STATUS_INTERNAL, "42601");
  expect_failure(world, "SELECT * FROM no_such_table", STATUS_INTERNAL, "42P01");
  struct pg_result result;
  cr_assert_neq(
      pg_query(world->pg, statement("INSERT INTO t VALUES (1, NULL, 2)", PG_LANE_WRITE), NULL, &world->arena, &result),
      STATUS_OK);
  cr_assert(slice_equal_string(result.constraint, "t_key"));
  cr_assert_str_eq(run_sql(world, "SELECT count(*) FROM t"), "1");
}

Test(pg, errors_have_status_sqlstate_and_constraint)
{
  with_pg(check_errors);
}

static void check_timeout(struct world *world)
{
  expect_failure(world, "SELECT pg_sleep(60)", STATUS_DEADLINE_EXCEEDED, "57014");
  cr_assert_str_eq(run_sql(world, "SELECT current_setting('TimeZone')"), "UTC");
  // What generated queries read, whatever the role or the server has for a style.
  cr_assert_str_eq(run_sql(world, "SELECT timestamptz '2026-11-21 13:51:54.5+00'::text"), "2026-11-21 13:51:54.5+00");
  cr_assert_str_eq(run_sql(world, "SELECT bytea '\\x00ff'::text"), "\\x00ff");
  cr_assert_str_eq(run_sql(world, "SELECT current_setting('application_name')"), "named");
}

Test(pg, the_session_has_its_settings)
{
  with_pg_options((struct pg_options){.statement_timeout_ms = 50, .application_name = "named"}, check_timeout);
}

// ---- neighbours: many statements in one turn of the loop, on one connection ----

// One in each lane.
static const struct pg_options ONE_CONNECTION = {
    .pipelined_connections = 1, .write_connections = 1, .scan_connections = 1};

static void check_read_neighbours(struct world *world)
{
  const struct pg_statement *cast = statement("SELECT $1::text::int + 1", PG_LANE_POINT);
  struct ask asks[9] = {{0}};
  for (int round = 0; round < 3; round++) {  // the first prepares, the others do not
    for (size_t i = 0; i < ARRAY_LEN(asks); i++)
      asks[i] = (struct ask){.statement = cast, .text = i % 3 == 1 ? "bad" : "41"};
    ask_all(world, asks, ARRAY_LEN(asks));
    for (size_t i = 0; i < ARRAY_LEN(asks); i++) {
      cr_assert_eq(asks[i].status, i % 3 == 1 ? STATUS_INVALID_ARGUMENT : STATUS_OK, "%zu", i);
      if (i % 3 != 1)
        cr_assert_eq(pg_int(&asks[i].result, 0, 0), 42);
    }
  }
}

Test(pg, a_failing_read_does_not_touch_the_reads_beside_it)
{
  with_pg_options(ONE_CONNECTION, check_read_neighbours);
}

static void check_write_neighbours(struct world *world)
{
  run_sql(world, "CREATE TABLE t (id int PRIMARY KEY)");
  run_sql(world, "INSERT INTO t VALUES (1)");
  const struct pg_statement *insert = statement("INSERT INTO t VALUES ($1::text::int)", PG_LANE_WRITE);
  const struct pg_statement *read = statement("SELECT $1::text", PG_LANE_POINT);
  const char *ids[] = {"2", "1", "3", "1", "x", "4"};
  struct ask asks[12] = {{0}};
  for (size_t i = 0; i < ARRAY_LEN(asks); i++)
    asks[i] = (struct ask){.statement = i % 2 == 0 ? insert : read, .text = ids[i / 2]};
  ask_all(world, asks, ARRAY_LEN(asks));
  const enum status expected[] = {
      STATUS_OK, STATUS_ALREADY_EXISTS, STATUS_OK, STATUS_ALREADY_EXISTS, STATUS_INVALID_ARGUMENT, STATUS_OK};
  for (size_t i = 0; i < ARRAY_LEN(asks); i++)
    cr_assert_eq(asks[i].status, i % 2 == 0 ? expected[i / 2] : STATUS_OK, "%zu", i);
  cr_assert_str_eq(run_sql(world, "SELECT string_agg(id::text, ',' ORDER BY id) FROM t"), "1,2,3,4");
}

Test(pg, a_failing_write_does_not_touch_the_writes_beside_it)
{
  with_pg_options(ONE_CONNECTION, check_write_neighbours);
}

static void check_failing_prepare(struct world *world)
{
  run_sql(world, "CREATE TABLE later (id int)");
  run_sql(world, "DROP TABLE later");
  const struct pg_statement *broken = statement("SELECT count(*) FROM later", PG_LANE_POINT);
  const struct pg_statement *good = statement("SELECT 'good'", PG_LANE_POINT);
  const struct pg_statement *broken_write = statement("INSERT INTO later VALUES (1) RETURNING id", PG_LANE_WRITE);
  struct ask asks[] = {{.statement = good},   {.statement = broken},       {.statement = good},
                       {.statement = broken}, {.statement = good},         {.statement = broken_write},
                       {.statement = good},   {.statement = broken_write}, {.statement = broken},
                       {.statement = good}};
  ask_all(world, asks, ARRAY_LEN(asks));
  for (size_t i = 0; i < ARRAY_LEN(asks); i++) {
    cr_assert_eq(asks[i].status, asks[i].statement == good ? STATUS_OK : STATUS_INTERNAL, "%zu", i);
    if (asks[i].statement != good)
      cr_assert(slice_equal_string(asks[i].result.sqlstate, "42P01"), "%zu", i);
  }
  // The statement cache keeps it neither as prepared nor as broken.
  run_sql(world, "CREATE TABLE later (id int)");
  ask_all(world, asks, ARRAY_LEN(asks));
  for (size_t i = 0; i < ARRAY_LEN(asks); i++)
    cr_assert_eq(asks[i].status, STATUS_OK, "%zu: %s", i, status_name(asks[i].status));
  cr_assert_str_eq(run_sql(world, "SELECT count(*) FROM later"), "2");
}

Test(pg, a_statement_that_cannot_be_prepared_fails_alone_and_works_later)
{
  with_pg_options(ONE_CONNECTION, check_failing_prepare);
}

static enum status ask_one(struct world *world, const char *sql, enum pg_lane lane)
{
  struct pg_result result;
  return pg_query(world->pg, statement(sql, lane), NULL, &world->arena, &result);
}

static void check_changed_table(struct world *world)
{
  run_sql(world, "CREATE TABLE t (a int)");
  run_sql(world, "INSERT INTO t VALUES (1)");
  const struct pg_statement *read = statement("SELECT * FROM t", PG_LANE_POINT);
  const struct pg_statement *write = statement("UPDATE t SET a = a + 1 RETURNING *", PG_LANE_WRITE);
  struct ask asks[] = {{.statement = read}, {.statement = write}, {.statement = read}, {.statement = write}};
  ask_all(world, asks, ARRAY_LEN(asks));
  run_sql(world, "ALTER TABLE t ADD b text DEFAULT 'new'");
  ask_all(world, asks, ARRAY_LEN(asks));
  for (size_t i = 0; i < ARRAY_LEN(asks); i++) {
    cr_assert_eq(asks[i].status, STATUS_OK, "%zu: %s", i, status_name(asks[i].status));
    cr_assert_str_eq(cell_text(&asks[i].result, 0, 1), "new");
  }
  cr_assert_str_eq(run_sql(world, "SELECT a FROM t"), "5");
  // The server loses what was prepared.
  run_sql(world, "DEALLOCATE ALL");
  cr_assert_eq(ask_one(world, "DEALLOCATE ALL", PG_LANE_POINT), STATUS_OK);
  ask_all(world, asks, ARRAY_LEN(asks));
  for (size_t i = 0; i < ARRAY_LEN(asks); i++)
    cr_assert_eq(asks[i].status, STATUS_OK, "%zu: %s", i, status_name(asks[i].status));
  cr_assert_str_eq(run_sql(world, "SELECT a FROM t"), "7");
}

Test(pg, statements_survive_a_changed_table_and_apply_once)
{
  with_pg_options(ONE_CONNECTION, check_changed_table);
}

static void check_deferred(struct world *world)
{
  run_sql(world, "CREATE TABLE a (id int PRIMARY KEY)");
  run_sql(world, "CREATE TABLE b (a int CONSTRAINT b_a REFERENCES a DEFERRABLE INITIALLY DEFERRED)");
  struct ask asks[] = {{.statement = statement("INSERT INTO b VALUES (1)", PG_LANE_WRITE)},
                       {.statement = statement("INSERT INTO a VALUES (2)", PG_LANE_WRITE)},
                       {.statement = statement("SELECT 1", PG_LANE_POINT)}};
  ask_all(world, asks, ARRAY_LEN(asks));
  cr_assert_eq(asks[0].status, STATUS_FAILED_PRECONDITION);
  cr_assert(slice_equal_string(asks[0].result.constraint, "b_a"));
  cr_assert_eq(asks[1].status, STATUS_OK);
  cr_assert_eq(asks[2].status, STATUS_OK);
  cr_assert_str_eq(run_sql(world, "SELECT (SELECT count(*) FROM a) || '-' || (SELECT count(*) FROM b)"), "1-0");
}

Test(pg, a_write_that_fails_at_its_commit_is_reported)
{
  with_pg_options(ONE_CONNECTION, check_deferred);
}

static void check_copy(struct world *world)
{
  run_sql(world, "CREATE TABLE t (a int)");
  cr_assert_neq(run_status(world, "COPY t TO STDOUT"), STATUS_OK);
  cr_assert_str_eq(run_sql(world, "SELECT 'well'"), "well");
}

Test(pg, an_unsupported_kind_of_statement_is_an_error_and_no_more)
{
  with_pg_options(ONE_CONNECTION, check_copy);
}

// More statements than may be in flight at a time.
static void check_many(struct world *world)
{
  enum { MANY = 5000 };
  run_sql(world, "CREATE TABLE t (id int PRIMARY KEY)");
  const struct pg_statement *insert = statement("INSERT INTO t VALUES ($1::text::int)", PG_LANE_WRITE);
  const struct pg_statement *read = statement("SELECT $1::text", PG_LANE_POINT);
  struct ask *asks = arena_array(&world->arena, MANY, sizeof(*asks));
  for (size_t i = 0; i < MANY; i++)
    asks[i] = (struct ask){.statement = i % 5 == 0 ? insert : read, .text = arena_printf(&world->arena, "%zu", i)};
  ask_all(world, asks, MANY);
  for (size_t i = 0; i < MANY; i++) {
    cr_assert_eq(asks[i].status, STATUS_OK, "%zu: %s", i, status_name(asks[i].status));
    if (i % 5 != 0)
      cr_assert_str_eq(cell_text(&asks[i].result, 0, 0), asks[i].text);
  }
  cr_assert_str_eq(run_sql(world, "SELECT count(*) FROM t"), "1000");
}

Test(pg, thousands_at_once_each_get_their_own_answer)
{
  with_pg(check_many);
}

// ---- leaving early ----

static void check_leaving(struct world *world)
{
  struct pg_result result;
  const struct pg_statement *slow = statement("SELECT pg_sleep(0.2), 'slow'", PG_LANE_POINT);
  const struct pg_statement *quick = statement("SELECT 'quick'", PG_LANE_POINT);
  uint64_t before = task_tighten_deadline(deadline_after_ms(clock_now_us(), 20));
  cr_assert_eq(pg_query(world->pg, slow, NULL, &world->arena, &result), STATUS_DEADLINE_EXCEEDED);
  cr_assert_eq(result.rows, 0);
  // The deadline has passed, so nothing is sent.
  cr_assert_eq(pg_query(world->pg, quick, NULL, &world->arena, &result), STATUS_DEADLINE_EXCEEDED);
  task_restore_deadline(before);
  cr_assert_eq(pg_query(world->pg, quick, NULL, &world->arena, &result), STATUS_OK);
  cr_assert_str_eq(cell_text(&result, 0, 0), "quick");
}

Test(pg, the_answer_of_a_statement_that_was_left_goes_to_nobody)
{
  with_pg_options(ONE_CONNECTION, check_leaving);
}

static bool is_done(void *arg)
{
  return arg != NULL && *(bool *)arg;
}

struct sleeper {
  struct world *world;
  enum status status;
  bool done;
};

static void sleep_long(void *arg)
{
  struct sleeper *sleeper = arg;
  struct pg_result result;
  struct arena arena = {0};
  sleeper->status =
      pg_query(sleeper->world->pg, statement("SELECT pg_sleep(0.1)", PG_LANE_WRITE), NULL, &arena, &result);
  arena_free(&arena);
  sleeper->done = true;
}

static void check_cancelled_task(struct world *world)
{
  struct sleeper sleeper = {.world = world};
  struct task *task = task_start(world->loop, sleep_long, &sleeper, DEADLINE_NONE, NULL);
  yield_task();
  task_cancel(task);
  wait_until(is_done, &sleeper.done);
  cr_assert_eq(sleeper.status, STATUS_CANCELLED);
  cr_assert_str_eq(run_sql(world, "SELECT 'next'"), "next");
}

Test(pg, a_cancelled_task_leaves_at_once)
{
  with_pg_options(ONE_CONNECTION, check_cancelled_task);
}

static void check_metrics(struct world *world)
{
  struct pg_result result;
  const struct pg_statement *good = statement("SELECT 1", PG_LANE_POINT);
  for (int i = 0; i < 3; i++)
    cr_assert_eq(pg_query(world->pg, good, NULL, &world->arena, &result), STATUS_OK);
  const struct slice labels[] = {slice_from_string(good->name), SLICE("OK")};
  cr_assert_eq(read_metric(METRIC_PG_QUERIES, labels, 2), 3);
  cr_assert_eq(read_metric(METRIC_PG_DURATION, labels, 1), 3);
  cr_assert_geq(read_single_metric(METRIC_PG_CONNECTIONS), 1);
}

Test(pg, statements_are_counted_by_name_and_outcome)
{
  with_pg(check_metrics);
}

static void check_malformed(struct world *world)
{
  const struct pg_options options = {.conninfo = "this is no connection string secret"};
  struct pg *pg = pg_create(world->loop, &options);
  uint64_t before = task_tighten_deadline(deadline_after_ms(clock_now_us(), 100));
  struct pg_result result;
  cr_assert_eq(pg_query(pg, statement("SELECT 1", PG_LANE_POINT), NULL, &world->arena, &result), STATUS_UNAVAILABLE);
  task_restore_deadline(before);
  cr_assert_not(pg_ready(pg));
  pg_free(&pg);
}

Test(pg, a_malformed_connection_string_is_unavailable)
{
  with_loop(check_malformed);
}
