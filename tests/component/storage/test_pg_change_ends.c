// pg_change_row: what is known of a change that is overdue, cancelled, or whose server goes, and whose turn it is.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>

#include "tests/component/storage/change_rig.h"
#include "tests/support/common/yield_task.h"

// ---- deadlines, and who leaves ----

static void check_overdue_batch(struct world *world)
{
  warm_up(world);
  const struct pg_statement *held = held_put_statement();
  struct put puts[] = {{.statement = held, .id = "1", .value = "10", .patience_ms = 500},
                       {.statement = held, .id = "2", .value = "20"},
                       {.statement = held, .id = "3", .value = "30"}};
  put_all(world, puts, ARRAY_LEN(puts));
  cr_assert_eq(puts[0].status, STATUS_DEADLINE_EXCEEDED, "%s", status_name(puts[0].status));
  cr_assert_eq(puts[0].effect, TASK_NO_EFFECT);
  // The others run alone once the batch has been cancelled, and one alone is not held up.
  expect_own_row(&puts[1]);
  expect_own_row(&puts[2]);
  cr_assert_str_eq(stored_row(world, "1"), "1 1");
  cr_assert_str_eq(stored_row(world, "2"), "20 2");
  free_puts(puts, ARRAY_LEN(puts));
}

Test(pg_change_ends, an_overdue_batch_is_cancelled_and_only_the_overdue_change_fails)
{
  with_pg(check_overdue_batch);
}

// The change is asked for in time, but its turn comes after its deadline, because another task computes.
static void check_late_turn(struct world *world)
{
  warm_up(world);
  const struct pg_statement *set = put_statement();
  struct crew crew = {.world = world};
  struct put late[] = {{.statement = set, .id = "1", .value = "10", .patience_ms = 100},
                       {.statement = set, .id = "2", .value = "20", .patience_ms = 100}};
  struct put early = {.statement = set, .id = "3", .value = "30"};
  start_puts(&crew, late, ARRAY_LEN(late));
  start_puts(&crew, &early, 1);
  yield_task();
  uint64_t end_us = deadline_after_ms(clock_now_us(), late[0].patience_ms + 1);
  while (clock_now_us() < end_us)
    continue;
  crew_join(&crew);
  for (size_t i = 0; i < ARRAY_LEN(late); i++)
    cr_expect(late[i].status == STATUS_DEADLINE_EXCEEDED && late[i].effect == TASK_NO_EFFECT);
  expect_own_row(&early);
  cr_expect_str_eq(run_sql(world, "SELECT count(*) FROM t WHERE revision > 1 AND id < 3"), "0");
  free_puts(late, ARRAY_LEN(late));
  free_puts(&early, 1);
}

Test(pg_change_ends, nothing_is_made_after_its_deadline_even_when_its_turn_comes_late)
{
  with_pg(check_late_turn);
}

static void let_go(struct world *world)
{
  run_sql(world, "INSERT INTO go DEFAULT VALUES");
}

static struct task *start_one(struct put *put_in, struct crew *crew)
{
  put_in->crew = crew;
  crew->running++;
  return task_start(crew->world->loop, put, put_in, DEADLINE_NONE, NULL);
}

static void check_all_leave(struct world *world)
{
  warm_up(world);
  const struct pg_statement *held = held_put_statement();
  struct crew crew = {.world = world};
  struct put puts[] = {{.statement = held, .id = "1", .value = "10"}, {.statement = held, .id = "2", .value = "20"}};
  struct task *tasks[ARRAY_LEN(puts)];
  for (size_t i = 0; i < ARRAY_LEN(puts); i++)
    tasks[i] = start_one(&puts[i], &crew);
  await_held(world);
  for (size_t i = 0; i < ARRAY_LEN(puts); i++)
    task_cancel(tasks[i]);
  crew_join(&crew);
  for (size_t i = 0; i < ARRAY_LEN(puts); i++) {
    cr_assert_eq(puts[i].status, STATUS_CANCELLED, "%s", status_name(puts[i].status));
    cr_assert_eq(puts[i].effect, TASK_NO_EFFECT, "the server has said that it was cancelled");
    cr_assert_str_eq(stored_row(world, puts[i].id), i == 0 ? "1 1" : "2 1");
  }
  cr_assert_eq(times_sent(held, STATUS_CANCELLED), 1);
  free_puts(puts, ARRAY_LEN(puts));
}

Test(pg_change_ends, when_all_have_left_the_statement_is_cancelled)
{
  with_pg(check_all_leave);
}

// Few changes wait for the batch that is under way, but not for one that is held up.
static void check_held_up(struct world *world)
{
  warm_up(world);
  struct crew held_crew = {.world = world};
  struct crew crew = {.world = world};
  const struct pg_statement *held = held_put_statement();
  struct put puts[] = {{.statement = held, .id = "1", .value = "10"}, {.statement = held, .id = "2", .value = "20"}};
  struct put other = {.statement = put_statement(), .id = "3", .value = "30"};
  start_puts(&held_crew, puts, ARRAY_LEN(puts));
  await_held(world);
  start_puts(&crew, &other, 1);
  crew_join(&crew);
  expect_own_row(&other);
  cr_assert_not(puts[0].done || puts[1].done);
  let_go(world);
  crew_join(&held_crew);
  free_puts(puts, ARRAY_LEN(puts));
  free_puts(&other, 1);
}

Test(pg_change_ends, a_statement_that_is_held_up_keeps_no_other_waiting)
{
  with_pg(check_held_up);
}

static void check_one_leaves(struct world *world)
{
  warm_up(world);
  const struct pg_statement *held = held_put_statement();
  struct crew left = {.world = world};
  struct crew crew = {.world = world};
  struct put leaver = {.statement = held, .id = "1", .value = "10"};
  struct put stays = {.statement = held, .id = "2", .value = "20"};
  struct task *task = start_one(&leaver, &left);
  start_one(&stays, &crew);
  await_held(world);
  task_cancel(task);
  crew_join(&left);
  cr_assert_eq(leaver.status, STATUS_CANCELLED, "%s", status_name(leaver.status));
  cr_assert_eq(leaver.effect, TASK_EFFECT_UNKNOWN, "it may still be made, and is");
  cr_assert_not(stays.done);
  arena_free(&leaver.arena);
  leaver.id = leaver.value = NULL;
  let_go(world);
  crew_join(&crew);
  expect_own_row(&stays);
  cr_assert_str_eq(stored_row(world, "1"), "10 2");
  arena_free(&stays.arena);
}

Test(pg_change_ends, who_leaves_while_others_wait_does_not_know_what_happens)
{
  with_pg(check_one_leaves);
}

static void check_leaver_of_the_turn(struct world *world)
{
  const struct pg_options options = {.conninfo = getenv("BULKHEAD_TEST_PG")};
  world->pg = pg_create(world->loop, &options);
  cr_assert_eq(pg_wait_ready(world->pg), STATUS_OK);
  struct crew crew = {.world = world};
  struct put puts[] = {{.statement = put_statement(), .id = "1"}, {.id = "2"}};
  puts[1].statement = puts[0].statement;
  struct task *tasks[] = {start_one(&puts[0], &crew), start_one(&puts[1], &crew)};
  yield_task();
  // Both leave in the turn in which they came, before there is a batch.
  task_cancel(tasks[0]);
  task_cancel(tasks[1]);
  crew_join(&crew);
  for (size_t i = 0; i < ARRAY_LEN(puts); i++) {
    cr_expect_eq(puts[i].status, STATUS_CANCELLED, "%s", status_name(puts[i].status));
    cr_expect_eq(puts[i].effect, TASK_NO_EFFECT);
  }
  pg_free(&world->pg);
}

Test(pg_change_ends, who_leaves_in_the_turn_leaves_nothing)
{
  with_loop(check_leaver_of_the_turn);
}

static void end_turn(void *arg)
{
  completion_finish(arg, STATUS_OK);
}

// Waits until the loop has polled once. A batch that was made before waits for its first connection then.
static void await_next_turn(struct world *world)
{
  struct completion polled = COMPLETION_INIT;
  loop_post(world->loop, end_turn, &polled);
  cr_assert_eq(completion_wait(&polled), STATUS_OK);
}

static void check_leavers_of_unsent(struct world *world)
{
  make_put_table(world);
  const struct pg_statement *set = put_statement();
  struct crew crew = {.world = world};
  struct crew left = {.world = world};
  struct put leaver = {.statement = set, .id = "1", .value = "10"};
  struct put stays[] = {{.statement = set, .id = "2", .value = "20"}, {.statement = set, .id = "3", .value = "30"}};
  struct task *task = start_one(&leaver, &left);
  start_puts(&crew, stays, ARRAY_LEN(stays));
  await_next_turn(world);
  task_cancel(task);
  crew_join(&left);
  cr_assert_eq(leaver.status, STATUS_CANCELLED, "%s", status_name(leaver.status));
  cr_assert_eq(leaver.effect, TASK_NO_EFFECT, "it has not been sent");
  crew_join(&crew);
  for (size_t i = 0; i < ARRAY_LEN(stays); i++)
    expect_own_row(&stays[i]);
  cr_assert_str_eq(stored_row(world, "1"), "1 1");
  free_puts(&leaver, 1);
  free_puts(stays, ARRAY_LEN(stays));
}

Test(pg_change_ends, who_leaves_before_the_batch_is_sent_is_not_in_it)
{
  with_pg(check_leavers_of_unsent);
}

static void check_all_leave_unsent(struct world *world)
{
  const struct pg_options options = {.conninfo = getenv("BULKHEAD_TEST_PG")};
  world->pg = pg_create(world->loop, &options);
  cr_assert_eq(pg_wait_ready(world->pg), STATUS_OK);
  struct crew crew = {.world = world};
  const struct pg_statement *set = put_statement();
  struct put puts[] = {{.statement = set, .id = "1"}, {.statement = set, .id = "2"}};
  struct task *tasks[] = {start_one(&puts[0], &crew), start_one(&puts[1], &crew)};
  await_next_turn(world);
  task_cancel(tasks[0]);
  task_cancel(tasks[1]);
  crew_join(&crew);
  // The batch has ended with them, or this would fail.
  pg_free(&world->pg);
  for (size_t i = 0; i < ARRAY_LEN(puts); i++) {
    cr_expect_eq(puts[i].status, STATUS_CANCELLED, "%s", status_name(puts[i].status));
    cr_expect_eq(puts[i].effect, TASK_NO_EFFECT);
  }
}

Test(pg_change_ends, a_batch_that_all_have_left_before_it_is_sent_ends)
{
  with_loop(check_all_leave_unsent);
}

static struct server server;

static void connect_to_server(struct world *world)
{
  const struct pg_options options = {
      .conninfo = arena_printf(&world->arena, "host=%s user=test dbname=postgres", server.folder),
      .application_name = world->schema};
  world->pg = pg_create(world->loop, &options);
  cr_assert_eq(pg_wait_ready(world->pg), STATUS_OK);
}

// Only the server's own process is stopped, which takes in cancel requests.
static void check_frozen(struct world *world)
{
  connect_to_server(world);
  warm_up(world);
  const struct pg_statement *held = held_put_statement();
  struct crew crew = {.world = world};
  struct put puts[] = {{.statement = held, .id = "1", .value = "10"}, {.statement = held, .id = "2", .value = "20"}};
  struct task *tasks[] = {start_one(&puts[0], &crew), start_one(&puts[1], &crew)};
  await_held(world);
  kill(server.pid, SIGSTOP);
  task_cancel(tasks[0]);
  task_cancel(tasks[1]);
  crew_join(&crew);
  // Nothing is under way once all tasks have returned.
  pg_free(&world->pg);
  kill(server.pid, SIGCONT);
  for (size_t i = 0; i < ARRAY_LEN(puts); i++) {
    cr_expect_eq(puts[i].status, STATUS_CANCELLED);
    cr_expect_eq(puts[i].effect, TASK_EFFECT_UNKNOWN);
  }
}

Test(pg_change_ends, nothing_is_left_of_those_that_a_frozen_server_kept_waiting, .timeout = 60)
{
  postgres_start(&server);
  with_loop(check_frozen);
  postgres_stop(&server);
}

// ---- the server goes ----

static void check_terminated(struct world *world)
{
  warm_up(world);
  const struct pg_statement *held = held_put_statement();
  struct crew crew = {.world = world};
  struct put puts[] = {{.statement = held, .id = "1", .value = "10"}, {.statement = held, .id = "2", .value = "20"}};
  start_puts(&crew, puts, ARRAY_LEN(puts));
  await_held(world);
  run_sql(world, arena_printf(&world->arena,
                              "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '%s'"
                              " AND state = 'active' AND query LIKE 'UPDATE%%hold%%'",
                              world->schema));
  crew_join(&crew);
  for (size_t i = 0; i < ARRAY_LEN(puts); i++) {
    cr_expect_eq(puts[i].status, STATUS_UNAVAILABLE, "%s", status_name(puts[i].status));
    cr_expect_eq(puts[i].effect, TASK_EFFECT_UNKNOWN);
    cr_expect_str_eq(stored_row(world, puts[i].id), i == 0 ? "1 1" : "2 1", "what nobody knows is not made again");
  }
  cr_expect_eq(times_sent(held, STATUS_OK), 0);
  struct put after = {.statement = held, .id = "3", .value = "30"};
  put_all(world, &after, 1);
  expect_own_row(&after);
  free_puts(puts, ARRAY_LEN(puts));
  free_puts(&after, 1);
}

Test(pg_change_ends, a_connection_that_breaks_leaves_all_its_changes_unknown)
{
  with_pg(check_terminated);
}

static bool pg_is_down(void *arg)
{
  return !pg_ready(arg);
}

static void check_away(struct world *world)
{
  connect_to_server(world);
  warm_up(world);
  const struct pg_statement *set = put_statement();
  postgres_stop(&server);
  wait_until(pg_is_down, world->pg);
  // The changes would wait longer than the test may take, if one batch after the other waited for the server.
  static struct put puts[1000];
  for (size_t i = 0; i < ARRAY_LEN(puts); i++)
    puts[i] = (struct put){.statement = set,
                           .id = arena_printf(&world->arena, "%zu", i + 1),
                           .value = "5",
                           .patience_ms = 10 * TEST_DEADLINE_MS};
  put_all(world, puts, ARRAY_LEN(puts));
  for (size_t i = 0; i < ARRAY_LEN(puts); i++) {
    cr_assert_eq(puts[i].status, STATUS_UNAVAILABLE, "%s", status_name(puts[i].status));
    cr_assert_eq(puts[i].effect, TASK_NO_EFFECT);
  }
  // So would these, if each waited for two seconds.
  for (size_t i = 0; i < 100; i++) {
    put_all(world, &puts[i], 1);
    cr_assert_eq(puts[i].status, STATUS_UNAVAILABLE, "%s", status_name(puts[i].status));
  }
  pg_free(&world->pg);
}

Test(pg_change_ends, nobody_waits_long_for_a_server_that_is_away, .timeout = 60)
{
  postgres_start(&server);
  with_loop(check_away);
}

// ---- turns ----

static void check_callers(struct world *world)
{
  warm_up(world);
  const struct pg_statement *set = put_statement();
  enum { GREEDY = 40, EACH = 20 };
  static struct put puts[GREEDY * EACH];
  size_t ended = 0;
  for (size_t i = 0; i < ARRAY_LEN(puts); i++)
    puts[i] = (struct put){.statement = set,
                           .id = arena_printf(&world->arena, "%zu", i + 1),
                           .value = "5",
                           .caller = 100 + i / EACH,
                           .ended = &ended};
  struct put modest = {.statement = set, .id = "999", .value = "5", .caller = 7, .ended = &ended};
  struct crew crew = {.world = world};
  start_puts(&crew, puts, ARRAY_LEN(puts));
  start_puts(&crew, &modest, 1);
  crew_join(&crew);
  expect_own_row(&modest);
  // What was under way comes first, and then one change of each of the others.
  cr_expect_leq(modest.rank, 4 * GREEDY + 256, "%zu of %zu were made before it", modest.rank, ended);
  free_puts(puts, ARRAY_LEN(puts));
  free_puts(&modest, 1);
}

Test(pg_change_ends, callers_take_turns)
{
  with_pg(check_callers);
}

static void check_statements(struct world *world)
{
  warm_up(world);
  const struct pg_statement *set = put_statement();
  static struct put puts[500];
  size_t ended = 0;
  for (size_t i = 0; i < ARRAY_LEN(puts); i++)
    puts[i] =
        (struct put){.statement = set, .id = arena_printf(&world->arena, "%zu", i + 1), .value = "5", .ended = &ended};
  struct put other = {.statement = put_statement(), .id = "999", .value = "5", .ended = &ended};
  struct crew crew = {.world = world};
  start_puts(&crew, puts, ARRAY_LEN(puts));
  start_puts(&crew, &other, 1);
  crew_join(&crew);
  expect_own_row(&other);
  cr_expect_leq(other.rank, 400, "%zu of %zu were made before it", other.rank, ended);
  free_puts(puts, ARRAY_LEN(puts));
  free_puts(&other, 1);
}

Test(pg_change_ends, statements_take_turns)
{
  with_pg(check_statements);
}
