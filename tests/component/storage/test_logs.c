// An error's log line carries the ids of the request that met it.
#include <criterion/criterion.h>
#include <stdio.h>

#include "tests/component/storage/support.h"

// A task that works for the request `id`.
struct caller {
  struct crew *crew;
  struct log_context context;
  const char *id;
  const struct pg_statement *statement;
  struct redis *redis;
  enum status status;
};

static void start_caller(struct caller *caller, void (*run)(void *arg))
{
  struct crew *crew = caller->crew;
  caller->context = (struct log_context){.request_id = slice_from_string(caller->id),
                                         .trace_id = SLICE("0123456789abcdef0123456789abcdef")};
  crew->running++;
  task_start(crew->world->loop, run, caller, DEADLINE_NONE, &caller->context);
}

static size_t count_lines_of(const struct caller *caller, const char *text)
{
  char id[64];
  snprintf(id, sizeof(id), "\"requestId\":\"%s\",\"traceId\":\"0123456789abcdef0123456789abcdef\"", caller->id);
  return count_logged(text, id);
}

static void query(void *arg)
{
  struct caller *caller = arg;
  struct world *world = caller->crew->world;
  struct pg_result result;
  caller->status = pg_query(world->pg, caller->statement, NULL, &world->arena, &result);
  crew_finished(caller->crew);
}

static void query_in_transaction(void *arg)
{
  struct caller *caller = arg;
  struct world *world = caller->crew->world;
  struct pg_result result;
  struct pg_tx *tx;
  cr_assert_eq(pg_begin(world->pg, &tx), STATUS_OK);
  caller->status = pg_tx_query(tx, caller->statement, NULL, &world->arena, &result);
  pg_rollback(&tx);
  crew_finished(caller->crew);
}

static void check_errors(struct world *world)
{
  struct crew crew = {.world = world};
  struct caller callers[] = {
      {.crew = &crew, .id = "r-read", .statement = statement("SELECT * FROM no_such_table_1", PG_LANE_POINT)},
      {.crew = &crew, .id = "r-write", .statement = statement("DELETE FROM no_such_table_2", PG_LANE_WRITE)},
      {.crew = &crew, .id = "r-scan", .statement = statement("SELECT * FROM no_such_table_3", PG_LANE_SCAN)},
      {.crew = &crew, .id = "r-tx", .statement = statement("SELECT * FROM no_such_table_4", PG_LANE_WRITE)},
      // Its caller made a mistake, which its reply tells; there is nothing for an operator to do.
      {.crew = &crew, .id = "r-bad-value", .statement = statement("SELECT 'x'::int", PG_LANE_WRITE)},
  };
  for (size_t i = 0; i < ARRAY_LEN(callers); i++)
    start_caller(&callers[i], i == 3 ? query_in_transaction : query);
  crew_join(&crew);
  for (size_t i = 0; i < ARRAY_LEN(callers); i++) {
    bool internal = i < 4;
    cr_expect_eq(callers[i].status, internal ? STATUS_INTERNAL : STATUS_INVALID_ARGUMENT, "%s", callers[i].id);
    cr_expect_eq(count_lines_of(&callers[i], "\"sqlstate\":\"42P01\""), internal ? 1 : 0, "%s", callers[i].id);
    cr_expect_eq(count_lines_of(&callers[i], callers[i].statement->name), internal ? 1 : 0, "%s", callers[i].id);
  }
  cr_expect_eq(count_logged("statement failed", NULL), 4, "each once");
}

Test(logs, a_failing_statement_is_logged_for_the_request_that_sent_it)
{
  capture_log();
  with_pg(check_errors);
}

// A statement that is retried has not failed.
static void check_retried(struct world *world)
{
  const struct pg_statement *read = statement("SELECT * FROM t", PG_LANE_POINT);
  struct pg_result result;
  run_sql(world, "CREATE TABLE t (a int)");
  cr_assert_eq(pg_query(world->pg, read, NULL, &world->arena, &result), STATUS_OK);
  run_sql(world, "ALTER TABLE t ADD b int");
  cr_assert_eq(pg_query(world->pg, read, NULL, &world->arena, &result), STATUS_OK);
  cr_expect_eq(count_logged("statement failed", NULL), 0);
}

Test(logs, a_statement_that_succeeds_at_the_second_attempt_logs_no_error)
{
  capture_log();
  with_pg_options((struct pg_options){.pipelined_connections = 1}, check_retried);
}

static void query_row(void *arg)
{
  struct caller *caller = arg;
  struct world *world = caller->crew->world;
  struct pg_result result;
  caller->status = pg_query_row(world->pg, caller->statement, "1", &world->arena, &result);
  crew_finished(caller->crew);
}

static void check_gathered(struct world *world)
{
  struct crew crew = {.world = world};
  const struct pg_statement *broken = statement(
      "SELECT id, k.place FROM unnest($1::int[]) WITH ORDINALITY AS k(key, place) JOIN no_such_table ON id = key",
      PG_LANE_POINT);
  struct caller callers[] = {{.crew = &crew, .id = "r-one", .statement = broken},
                             {.crew = &crew, .id = "r-two", .statement = broken},
                             {.crew = &crew, .id = "r-three", .statement = broken}};
  for (size_t i = 0; i < ARRAY_LEN(callers); i++)
    start_caller(&callers[i], query_row);
  crew_join(&crew);
  for (size_t i = 0; i < ARRAY_LEN(callers); i++) {
    cr_expect_eq(callers[i].status, STATUS_INTERNAL);
    cr_expect_eq(count_lines_of(&callers[i], "\"sqlstate\":\"42P01\""), 1, "%s", callers[i].id);
  }
  cr_expect_eq(count_logged("statement failed", NULL), 3, "none for the query that they shared");
}

Test(logs, a_gathered_query_that_fails_is_logged_for_each_request_in_it)
{
  capture_log();
  with_pg(check_gathered);
}

static bool is_up(void *redis)
{
  return redis_up(redis);
}

static void command(void *arg)
{
  struct caller *caller = arg;
  struct redis_reply reply;
  const struct slice words[] = {SLICE("NO-SUCH-COMMAND")};
  caller->status = redis_command(caller->redis, words, 1, &caller->crew->world->arena, &reply);
  crew_finished(caller->crew);
}

static void check_redis(struct world *world)
{
  struct crew crew = {.world = world};
  struct redis *redis;
  struct error error;
  const struct redis_options options = {.url = redis_url(), .command_timeout_ms = 2000};
  cr_assert_eq(redis_create(world->loop, &options, &redis, &error), STATUS_OK);
  wait_until(is_up, redis);
  struct caller caller = {.crew = &crew, .id = "r-redis", .redis = redis};
  start_caller(&caller, command);
  crew_join(&crew);
  cr_expect_eq(caller.status, STATUS_INTERNAL);
  cr_expect_eq(count_lines_of(&caller, "unknown command"), 1);
  redis_free(&redis);
}

Test(logs, a_failing_redis_command_is_logged_for_the_request_that_sent_it)
{
  capture_log();
  with_loop(check_redis);
}
