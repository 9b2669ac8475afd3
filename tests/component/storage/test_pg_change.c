// pg_change_row: the changes that tasks make at the same time are one statement, and each task gets what is its own.
#include <criterion/criterion.h>

#include "tests/component/storage/change_rig.h"

// ---- what each gets ----

static void check_own_rows(struct world *world)
{
  warm_up(world);
  const struct pg_statement *set = put_statement();
  static struct put puts[30];
  for (size_t i = 0; i < ARRAY_LEN(puts); i++)
    puts[i] = (struct put){.statement = set,
                           .id = arena_printf(&world->arena, "%zu", 1 + (i * 37) % 90),
                           .value = arena_printf(&world->arena, "%zu", 100 + i)};
  put_all(world, puts, ARRAY_LEN(puts));
  cr_assert_eq(times_sent(set, STATUS_OK), 1, "one statement for all, not %lld", (long long)times_sent(set, STATUS_OK));
  for (size_t i = 0; i < ARRAY_LEN(puts); i++) {
    expect_own_row(&puts[i]);
    cr_assert_str_eq(stored_row(world, puts[i].id), arena_printf(&world->arena, "%zu 2", 100 + i));
  }
  free_puts(puts, ARRAY_LEN(puts));
}

Test(pg_change, each_gets_its_own_row_from_one_statement)
{
  with_pg(check_own_rows);
}

static void check_many(struct world *world)
{
  warm_up(world);
  const struct pg_statement *set = put_statement();
  static struct put puts[300];
  for (size_t i = 0; i < ARRAY_LEN(puts); i++)
    puts[i] = (struct put){.statement = set, .id = arena_printf(&world->arena, "%zu", i + 1), .value = "7"};
  put_all(world, puts, ARRAY_LEN(puts));
  for (size_t i = 0; i < ARRAY_LEN(puts); i++)
    expect_own_row(&puts[i]);
  cr_assert_leq(times_sent(set, STATUS_OK), 30, "%lld", (long long)times_sent(set, STATUS_OK));
  cr_assert_str_eq(run_sql(world, "SELECT count(*) FROM t WHERE value = 7 AND revision = 2"), "300");
  free_puts(puts, ARRAY_LEN(puts));
}

Test(pg_change, more_than_one_statement_holds)
{
  with_pg(check_many);
}

static void check_lone(struct world *world)
{
  warm_up(world);
  const struct pg_statement *set = put_statement();
  struct put puts[] = {{.statement = set, .id = "1", .value = "10"},
                       {.statement = set, .id = "5000", .value = "10"},
                       {.statement = set, .id = "2", .value = "10", .revision = "9"},
                       {.statement = set, .id = "3", .value = "10", .patience_ms = 30}};
  put_all(world, puts, ARRAY_LEN(puts));
  expect_own_row(&puts[0]);
  for (size_t i = 1; i < 3; i++) {
    cr_assert_eq(puts[i].status, STATUS_OK);
    cr_assert_eq(puts[i].result.rows, 0);
  }
  if (puts[3].status == STATUS_OK)
    expect_own_row(&puts[3]);  // who has little time runs alone, and gets the same
  cr_assert_str_eq(stored_row(world, "2"), "2 1");
  free_puts(puts, ARRAY_LEN(puts));
}

Test(pg_change, who_finds_no_row_gets_none)
{
  with_pg(check_lone);
}

static void check_twice(struct world *world)
{
  warm_up(world);
  const struct pg_statement *set = put_statement();
  struct put puts[] = {{.statement = set, .id = "1", .value = "10", .revision = "1"},
                       {.statement = set, .id = "1", .value = "11", .revision = "1"},
                       {.statement = set, .id = "1", .value = "12", .revision = "1"},
                       {.statement = set, .id = "2", .value = "20"},
                       {.statement = set, .id = "2", .value = "21"},
                       {.statement = set, .id = "2", .value = "22"}};
  put_all(world, puts, ARRAY_LEN(puts));
  const struct put *winner = NULL;
  for (size_t i = 0; i < 3; i++) {
    cr_assert_eq(puts[i].status, STATUS_OK);
    cr_assert(puts[i].result.rows == 0 || winner == NULL, "only one of them fits");
    winner = puts[i].result.rows == 1 ? &puts[i] : winner;
  }
  cr_assert_not_null(winner);
  expect_own_row(winner);
  cr_assert_str_eq(stored_row(world, "1"), arena_printf(&world->arena, "%s 2", winner->value));
  for (size_t i = 3; i < 6; i++)
    expect_own_row(&puts[i]);
  cr_assert_str_eq(run_sql(world, "SELECT revision FROM t WHERE id = 2"), "4", "each was made once");
  free_puts(puts, ARRAY_LEN(puts));
}

Test(pg_change, of_changes_of_one_row_with_the_same_etag_one_wins)
{
  with_pg(check_twice);
}

static void check_several_rows(struct world *world)
{
  warm_up(world);
  run_sql(world, "CREATE TABLE twins (key int, id int, value int, revision int NOT NULL DEFAULT 1)");
  run_sql(world, "INSERT INTO twins VALUES (1, 1, 1), (1, 2, 1), (2, 3, 1)");
  const struct pg_statement *set =
      statement("UPDATE twins SET value = v.new_value::int, revision = revision + 1 FROM unnest($1::int[], $2::text[],"
                " $3::int[]) WITH ORDINALITY AS v(key, new_value, old, place) WHERE twins.key = v.key"
                " RETURNING twins.key, value, v.place",
                PG_LANE_WRITE);
  struct put puts[] = {{.statement = set, .id = "1", .value = "10"}, {.statement = set, .id = "2", .value = "20"}};
  put_all(world, puts, ARRAY_LEN(puts));
  struct put lone = {.statement = set, .id = "1", .value = "11", .patience_ms = 45};
  put_all(world, &lone, 1);
  for (size_t i = 0; i < ARRAY_LEN(puts); i++)
    expect_own_row(&puts[i]);
  cr_assert(lone.status != STATUS_OK || (lone.result.rows == 1 && lone.result.columns == 2));
  cr_assert_str_eq(run_sql(world, "SELECT string_agg(value || ' ' || revision, ',' ORDER BY id) FROM twins"
                                  " WHERE key = 2"),
                   "20 2", "made once");
  free_puts(puts, ARRAY_LEN(puts));
  free_puts(&lone, 1);
}

Test(pg_change, where_several_rows_fit_all_are_changed_once_and_the_first_is_given)
{
  with_pg(check_several_rows);
}

// ---- errors ----

static void check_bad_rows(struct world *world)
{
  warm_up(world);
  const struct pg_statement *set = put_statement();
  const struct {
    const char *value;
    enum status status;
    const char *sqlstate;
    const char *constraint;
  } bad[] = {{"x", STATUS_INVALID_ARGUMENT, "22P02", ""},
             {"-1", STATUS_FAILED_PRECONDITION, "23514", "t_positive"},
             {NULL, STATUS_INTERNAL, "23502", ""}};
  for (size_t b = 0; b < ARRAY_LEN(bad); b++) {
    struct put puts[10];
    for (size_t i = 0; i < ARRAY_LEN(puts); i++)
      puts[i] = (struct put){.statement = set,
                             .id = arena_printf(&world->arena, "%zu", b * 10 + i + 1),
                             .value = i == 4 ? bad[b].value : "70"};
    put_all(world, puts, ARRAY_LEN(puts));
    for (size_t i = 0; i < ARRAY_LEN(puts); i++)
      if (i != 4)
        expect_own_row(&puts[i]);
    cr_expect_eq(puts[4].status, bad[b].status, "%s", status_name(puts[4].status));
    cr_expect_eq(puts[4].effect, TASK_NO_EFFECT);
    cr_expect(slice_equal_string(puts[4].result.sqlstate, bad[b].sqlstate), "%zu", b);
    cr_expect(slice_equal_string(puts[4].result.constraint, bad[b].constraint), "%zu", b);
    free_puts(puts, ARRAY_LEN(puts));
  }
  cr_assert_str_eq(run_sql(world, "SELECT count(*) FROM t WHERE value = 70 AND revision = 2"), "27");
}

Test(pg_change, an_error_reaches_the_one_that_caused_it)
{
  with_pg(check_bad_rows);
}

static void check_altered(struct world *world)
{
  warm_up(world);
  const struct pg_statement *set = statement(PUT_UPDATE PUT_WHERE " RETURNING t.*, v.place", PG_LANE_WRITE);
  struct put before[] = {{.statement = set, .id = "1", .value = "10"}, {.statement = set, .id = "2", .value = "10"}};
  put_all(world, before, ARRAY_LEN(before));
  run_sql(world, "ALTER TABLE t ADD COLUMN note text");
  struct put after[] = {{.statement = set, .id = "1", .value = "20"}, {.statement = set, .id = "2", .value = "20"}};
  put_all(world, after, ARRAY_LEN(after));
  for (size_t i = 0; i < ARRAY_LEN(after); i++) {
    cr_assert_eq(after[i].status, STATUS_OK);
    cr_assert_eq(after[i].result.columns, before[i].result.columns + 1);
    cr_assert_str_eq(stored_row(world, after[i].id), "20 3");
  }
  free_puts(before, ARRAY_LEN(before));
  free_puts(after, ARRAY_LEN(after));
}

Test(pg_change, a_prepared_statement_that_has_become_invalid_is_made_once)
{
  with_pg(check_altered);
}

// ---- locks ----

static bool all_but_third_are_done(void *arg)
{
  const struct put *puts = arg;
  for (size_t i = 0; i < 10; i++)
    if (i != 3 && !puts[i].done)
      return false;
  return true;
}

static void check_locked(struct world *world)
{
  warm_up(world);
  const struct pg_statement *set = put_statement();
  struct pg_tx *locker = NULL;
  struct pg_result locked;
  cr_assert_eq(pg_begin(world->pg, &locker), STATUS_OK);
  cr_assert_eq(pg_tx_query(locker, statement("SELECT FROM t WHERE id = 4 FOR UPDATE", PG_LANE_WRITE), NULL,
                           &world->arena, &locked),
               STATUS_OK);
  struct put puts[10];
  for (size_t i = 0; i < ARRAY_LEN(puts); i++)
    puts[i] =
        (struct put){.statement = set, .id = arena_printf(&world->arena, "%zu", i + 1), .value = "50", .caller = i};
  struct crew crew = {.world = world};
  start_puts(&crew, puts, ARRAY_LEN(puts));
  // The lock is released only after all the others have got what they want.
  wait_until(all_but_third_are_done, puts);
  cr_assert_not(puts[3].done);
  pg_rollback(&locker);
  crew_join(&crew);
  for (size_t i = 0; i < ARRAY_LEN(puts); i++)
    expect_own_row(&puts[i]);
  cr_assert_str_eq(run_sql(world, "SELECT count(*) FROM t WHERE value = 50 AND revision = 2"), "10");
  free_puts(puts, ARRAY_LEN(puts));
}

Test(pg_change, a_locked_row_holds_up_its_own_change_only)
{
  with_pg(check_locked);
}

static bool has_failed(void *arg)
{
  return times_sent(arg, STATUS_ABORTED) == 1;
}

static void check_locked_again(struct world *world)
{
  warm_up(world);
  static struct pg_statement set;
  set = *put_statement();
  struct pg_tx *locker = NULL;
  struct pg_result locked;
  cr_assert_eq(pg_begin(world->pg, &locker), STATUS_OK);
  cr_assert_eq(pg_tx_query(locker, statement("SELECT FROM t WHERE id = 4 FOR UPDATE", PG_LANE_WRITE), NULL,
                           &world->arena, &locked),
               STATUS_OK);
  struct crew crew = {.world = world};
  struct put first = {.statement = &set, .id = "4", .value = "40"};
  start_puts(&crew, &first, 1);
  wait_until(has_failed, &set);
  struct put puts[10];
  for (size_t i = 0; i < ARRAY_LEN(puts); i++)
    puts[i] = (struct put){.statement = &set, .id = arena_printf(&world->arena, "%zu", i + 1), .value = "50"};
  start_puts(&crew, puts, ARRAY_LEN(puts));
  wait_until(all_but_third_are_done, puts);
  cr_assert_not(first.done);
  cr_assert_eq(times_sent(&set, STATUS_ABORTED), 1, "the other changes were not held up by the locked row again");
  cr_assert_eq(times_sent(&set, STATUS_OK), 1);
  pg_rollback(&locker);
  crew_join(&crew);
  expect_own_row(&first);
  for (size_t i = 0; i < ARRAY_LEN(puts); i++)
    expect_own_row(&puts[i]);
  cr_assert_str_eq(run_sql(world, "SELECT revision FROM t WHERE id = 4"), "3");
  free_puts(puts, ARRAY_LEN(puts));
  free_puts(&first, 1);
}

Test(pg_change, a_row_that_is_known_to_be_locked_is_left_out_of_the_batch)
{
  with_pg(check_locked_again);
}

static void check_locked_for_long(struct world *world)
{
  warm_up(world);
  const struct pg_statement *set = put_statement();
  struct pg_tx *locker = NULL;
  struct pg_result locked;
  cr_assert_eq(pg_begin(world->pg, &locker), STATUS_OK);
  cr_assert_eq(pg_tx_query(locker, statement("SELECT FROM t WHERE id = 4 FOR UPDATE", PG_LANE_WRITE), NULL,
                           &world->arena, &locked),
               STATUS_OK);
  struct put puts[] = {{.statement = set, .id = "4", .value = "40", .patience_ms = 400},
                       {.statement = set, .id = "5", .value = "50"}};
  put_all(world, puts, ARRAY_LEN(puts));
  cr_assert_eq(puts[0].status, STATUS_DEADLINE_EXCEEDED, "%s", status_name(puts[0].status));
  cr_assert_eq(puts[0].effect, TASK_NO_EFFECT);
  expect_own_row(&puts[1]);
  pg_rollback(&locker);
  // What had been left behind would be made before this, which waits for the row's lock as it would.
  cr_assert_str_eq(run_sql(world, "UPDATE t SET revision = revision WHERE id = 4 RETURNING value || ' ' || revision"),
                   "4 1");
  free_puts(puts, ARRAY_LEN(puts));
}

Test(pg_change, a_row_that_is_locked_for_longer_than_the_deadline_is_not_changed)
{
  with_pg(check_locked_for_long);
}
