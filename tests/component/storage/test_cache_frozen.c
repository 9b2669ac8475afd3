// A process that stands still between its last look at the clock and the system call that sends its write, for longer
// than the others remember what it changes. Nobody may serve what it overwrites when it goes on.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/check.h"
#include "tests/component/storage/cache_rig.h"

// The value that the frozen process writes, and by which its message to the server is known.
#define LATE "22222"

enum { HOLD_MS = 2500 };

// ---- the process that freezes ----

static bool is_armed;

// Takes the place of the C library's function, also for libpq, with the names that it has there.
ssize_t send(int __fd, const void *__buf, size_t __n, int __flags)
{
  bool is_late = is_armed && memmem(__buf, __n, LATE, strlen(LATE)) != NULL;
  if (is_late)
    raise(SIGSTOP);
  ssize_t sent = syscall(SYS_sendto, __fd, __buf, __n, __flags, NULL, 0);
  // The writer has no time to say anything more.
  if (is_late)
    _exit(0);
  return sent;
}

// What the writer is told: which schema, and how it is reached.
struct errand {
  char schema[32];
  char conninfo[1024];
};

static int orders[2];

static enum status write_value(struct instance *instance, struct world *world, const char *value)
{
  static const struct pg_statement update = {.name = "update_frozen", .sql = "UPDATE frozen SET value = $1::int"};
  struct pg_params params;
  struct pg_result result;
  pg_params_init(&params, &world->arena);
  pg_add_text(&params, value);
  const struct slice key = SLICE("key");
  struct cache_change *change = cache_change_begin(instance->cache, &key, 1);
  enum status status = cache_change_confirm(change);
  is_armed = strcmp(value, LATE) == 0;
  if (status == STATUS_OK)
    status = pg_query(instance->pg, &update, &params, &world->arena, &result);
  cache_change_end(&change, status == STATUS_OK);
  return status;
}

static void write_late(struct world *world)
{
  struct errand errand;
  if (read(orders[0], &errand, sizeof(errand)) != sizeof(errand))
    return;
  snprintf(world->schema, sizeof(world->schema), "%s", errand.schema);
  world->conninfo = errand.conninfo;
  world->pg = pg_create(world->loop, &(struct pg_options){.conninfo = world->conninfo});
  struct instance instance;
  instance_start_holding(world, &instance, "", 60000, HOLD_MS);
  instance_settle(world, &instance);
  while (write_value(&instance, world, "1") != STATUS_OK)
    CHECK(task_sleep_ms(5) == STATUS_OK);
  // The process ends in the call that sends the value, so what returns has not sent it.
  while (write_value(&instance, world, LATE) != STATUS_OK)
    CHECK(task_sleep_ms(5) == STATUS_OK);
  _exit(1);
}

static pid_t writer;

static void fork_writer(void)
{
  cr_assert_eq(pipe(orders), 0);
  writer = fork();
  cr_assert_geq(writer, 0);
  if (writer != 0)
    return;
  close(orders[1]);
  with_loop(write_late);
  _exit(1);
}

// ---- the others ----

static bool has_stopped(void *arg)
{
  int state;
  (void)arg;
  if (waitpid(writer, &state, WUNTRACED | WNOHANG) != writer)
    return false;
  cr_assert(WIFSTOPPED(state), "the writer has ended before it sent what it was to send late");
  return true;
}

static bool has_ended(void *arg)
{
  int state;
  (void)arg;
  return waitpid(writer, &state, WNOHANG) == writer && (WIFEXITED(state) || WIFSIGNALED(state));
}

static enum status load_value(void *arg, struct slice key, struct arena *arena, struct slice *value)
{
  struct instance *instance = arg;
  struct pg_result result;
  (void)key;
  enum status status =
      pg_query(instance->pg, statement("SELECT value FROM frozen", PG_LANE_POINT), NULL, arena, &result);
  if (status == STATUS_OK)
    *value = pg_slice(&result, 0, 0);
  return status;
}

static struct slice get(struct world *world, struct instance *instance)
{
  struct slice value;
  cr_assert_eq(cache_get(instance->cache, SLICE("key"), load_value, instance, &world->arena, &value), STATUS_OK);
  return value;
}

static void wait_until_cached(struct world *world, struct instance *instance)
{
  while (!instance_peek(instance)) {
    (void)get(world, instance);
    cr_assert_eq(task_sleep_ms(5), STATUS_OK);
  }
}

static void freeze_writer(struct world *world)
{
  struct errand errand;
  snprintf(errand.schema, sizeof(errand.schema), "%s", world->schema);
  snprintf(errand.conninfo, sizeof(errand.conninfo), "%s", world->conninfo);
  run_sql(world, "CREATE TABLE frozen (value int)");
  run_sql(world, "INSERT INTO frozen VALUES (0)");
  cr_assert_eq(write(orders[1], &errand, sizeof(errand)), (ssize_t)sizeof(errand));
  wait_until(has_stopped, NULL);
}

// The server has handled what the writer has sent when it ends the writer's session.
static bool is_forgotten(void *arg)
{
  return run_sql(arg, "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'UPDATE frozen%'") == NULL;
}

static void thaw_writer(struct world *world)
{
  kill(writer, SIGCONT);
  wait_until(has_ended, NULL);
  wait_until(is_forgotten, world);
}

static void expect_right(struct world *world, struct instance *instance)
{
  const char *stored = run_sql(world, "SELECT value FROM frozen");
  struct slice served = get(world, instance);
  cr_expect(slice_equal_string(served, stored), SLICE_FMT " is served, %s is stored", SLICE_ARG(served), stored);
}

static void check_silent(struct world *world)
{
  struct instance other;
  instance_start_holding(world, &other, "", 60000, HOLD_MS);
  instance_settle(world, &other);
  freeze_writer(world);
  wait_until_cached(world, &other);
  thaw_writer(world);
  expect_right(world, &other);
  instance_stop(&other);
}

Test(cache_frozen, a_write_of_a_process_that_stood_still_reaches_nobody_who_has_forgotten_it, .timeout = 120)
{
  fork_writer();
  with_pg(check_silent);
}

// The newcomer was not there when the writer announced its change.
static void check_newcomer(struct world *world)
{
  struct instance first, newcomer;
  instance_start_holding(world, &first, "", 60000, HOLD_MS);
  instance_settle(world, &first);
  freeze_writer(world);
  instance_stop(&first);
  instance_start_holding(world, &newcomer, "", 60000, HOLD_MS);
  wait_until_cached(world, &newcomer);
  thaw_writer(world);
  expect_right(world, &newcomer);
  instance_stop(&newcomer);
}

Test(cache_frozen, a_newcomer_serves_nothing_that_such_a_process_may_overwrite, .timeout = 120)
{
  fork_writer();
  with_pg(check_newcomer);
}

// ---- whose sessions are left alone ----

static const char *session_of(struct world *world, struct pg *pg)
{
  struct pg_result result;
  cr_assert_eq(pg_query(pg, statement("SELECT pg_backend_pid()", PG_LANE_WRITE), NULL, &world->arena, &result),
               STATUS_OK);
  return cell_text(&result, 0, 0);
}

static bool has_session(struct world *world, const char *pid)
{
  const char *sql = "SELECT 1 FROM pg_stat_activity WHERE pid = %s";
  return run_sql(world, arena_printf(&world->arena, sql, pid)) != NULL;
}

// The fence of one cache, while another cache of the same service and a process without a cache have sessions that are
// older than those of the process that stands still.
static void check_bystanders(struct world *world)
{
  struct instance other, of_another_cache;
  struct pg *cacheless =
      pg_create(world->loop, &(struct pg_options){.conninfo = world->conninfo, .application_name = world->schema});
  instance_start_named(world, &of_another_cache, arena_printf(&world->arena, "%s.2", world->schema), HOLD_MS);
  const char *cacheless_pid = session_of(world, cacheless);
  const char *another_pid = session_of(world, of_another_cache.pg);
  instance_start_holding(world, &other, "", 60000, HOLD_MS);
  instance_settle(world, &other);
  freeze_writer(world);
  wait_until_cached(world, &other);
  thaw_writer(world);
  expect_right(world, &other);
  cr_expect(has_session(world, cacheless_pid), "of a process without a cache");
  cr_expect(has_session(world, another_pid), "of another cache");
  instance_stop(&other);
  instance_stop(&of_another_cache);
  pg_free(&cacheless);
}

Test(cache_frozen, sessions_of_other_caches_and_of_processes_without_one_are_left_alone, .timeout = 120)
{
  fork_writer();
  with_pg(check_bystanders);
}
