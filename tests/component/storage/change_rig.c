#include "tests/component/storage/change_rig.h"

#include <criterion/criterion.h>

#include "common/base/check.h"
#include "tests/support/common/read_metric.h"

static void add_params(const void *arg, struct pg_params *params, const void *const *items, size_t count)
{
  cr_assert_null(arg);
  const struct put *const *puts = (const struct put *const *)(const void *)items;
  const char *columns[3][64];
  CHECK(count <= 64);
  for (size_t i = 0; i < count; i++) {
    columns[0][i] = puts[i]->id;
    columns[1][i] = puts[i]->value;
    columns[2][i] = puts[i]->revision;
  }
  for (size_t i = 0; i < 3; i++)
    pg_add_text_array(params, columns[i], count);
}

void put(void *arg)
{
  struct put *put = arg;
  const struct pg_change change = {
      .statement = put->statement, .key = put->id, .item = put, .add_params = add_params, .arg = NULL};
  task_set_caller(put->caller);
  if (put->patience_ms != 0)
    (void)task_tighten_deadline(deadline_after_ms(clock_now_us(), put->patience_ms));
  put->status = pg_change_row(put->crew->world->pg, &change, &put->arena, &put->result);
  put->effect = task_effect();
  put->rank = put->ended == NULL ? 0 : (*put->ended)++;
  put->done = true;
  crew_finished(put->crew);
}

void start_puts(struct crew *crew, struct put *puts, size_t count)
{
  for (size_t i = 0; i < count; i++) {
    puts[i].crew = crew;
    crew_start(crew, put, &puts[i]);
  }
}

void free_puts(struct put *puts, size_t count)
{
  for (size_t i = 0; i < count; i++)
    arena_free(&puts[i].arena);
}

void put_all(struct world *world, struct put *puts, size_t count)
{
  struct crew crew = {.world = world};
  start_puts(&crew, puts, count);
  crew_join(&crew);
}

int64_t times_sent(const struct pg_statement *statement, enum status status)
{
  struct slice labels[] = {slice_from_string(statement->name), slice_from_string(status_name(status))};
  return read_metric(METRIC_PG_QUERIES, labels, ARRAY_LEN(labels));
}

void make_put_table(struct world *world)
{
  run_sql(world, "CREATE TABLE t (id int PRIMARY KEY, value int NOT NULL CONSTRAINT t_positive CHECK (value > 0),"
                 " revision int NOT NULL DEFAULT 1)");
  run_sql(world, "INSERT INTO t SELECT n, n FROM generate_series(1, 1000) n");
  run_sql(world, "CREATE TABLE go ()");
  // Holds up statements for more than one row until there is a row in `go`.
  run_sql(world, "CREATE FUNCTION hold(changes int) RETURNS bool LANGUAGE plpgsql VOLATILE AS $$"
                 " BEGIN WHILE changes > 1 AND NOT EXISTS (SELECT FROM go) LOOP PERFORM pg_sleep(0.002); END LOOP;"
                 " RETURN true; END $$");
}

const struct pg_statement *put_statement(void)
{
  return statement(PUT_UPDATE PUT_WHERE " RETURNING t.id, t.value, v.place", PG_LANE_WRITE);
}

const struct pg_statement *held_put_statement(void)
{
  return statement(PUT_UPDATE ", hold(cardinality($1)) AS h" PUT_WHERE " AND h RETURNING t.id, t.value, v.place",
                   PG_LANE_WRITE);
}

const char *stored_row(struct world *world, const char *id)
{
  return run_sql(world, arena_printf(&world->arena, "SELECT value || ' ' || revision FROM t WHERE id = %s", id));
}

void expect_own_row(const struct put *put)
{
  cr_assert_eq(put->status, STATUS_OK, "%s: %s", put->id, status_name(put->status));
  cr_assert_eq(put->effect, TASK_EFFECT_DONE);
  cr_assert_eq(put->result.rows, 1, "%s", put->id);
  cr_assert_eq(put->result.columns, 2, "the place is left out");
  cr_assert_eq(put->result.affected, 1);
  cr_assert_str_eq(cell_text(&put->result, 0, 0), put->id);
  cr_assert_str_eq(cell_text(&put->result, 0, 1), put->value);
}

static bool has_connections(void *arg)
{
  return read_single_metric(METRIC_PG_CONNECTIONS) >= *(const int64_t *)arg;
}

void warm_up(struct world *world)
{
  make_put_table(world);
  struct put first = {.statement = put_statement(), .id = "1000", .value = "1"};
  put_all(world, &first, 1);
  expect_own_row(&first);
  free_puts(&first, 1);
  int64_t all = 5;  // two for reads, one for writes, one for batches, one that probes
  wait_until(has_connections, &all);
}

static bool sees(struct world *world, const char *sql)
{
  struct pg_result result;
  cr_assert_eq(pg_query(world->pg, statement(sql, PG_LANE_SCAN), NULL, &world->arena, &result), STATUS_OK);
  return result.rows > 0;
}

void await_held(struct world *world)
{
  const char *sql = arena_printf(&world->arena,
                                 "SELECT FROM pg_stat_activity WHERE application_name = '%s' AND state = 'active'"
                                 " AND query LIKE 'UPDATE%%hold%%'",
                                 world->schema);
  while (!sees(world, sql))
    cr_assert_eq(task_sleep_ms(1), STATUS_OK, "no batch is held up");
}
