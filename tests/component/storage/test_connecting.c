// Connecting: by a host name, which is resolved without blocking the loop, and on a loop that something else blocked.
#include <criterion/criterion.h>
#include <dirent.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "tests/component/storage/names.h"
#include "tests/component/storage/support.h"
#include "tests/support/common/read_metric.h"

// The longer of PostgreSQL's and Redis' connect timeouts.
enum { CONNECT_TIMEOUT_MS = 5000 };

static struct front front;

static const char *redis_socket(void)
{
  const char *url = redis_url();
  cr_assert_eq(strncmp(url, "unix://", 7), 0, "%s", url);
  return url + 7;
}

// The folder in which PostgreSQL of tests/with-servers has its socket, and the rest of its connection string.
static const char *pg_folder(struct world *world, const char **rest)
{
  const char *conninfo = getenv("BULKHEAD_TEST_PG");
  cr_assert(conninfo != NULL && strncmp(conninfo, "host=/", 6) == 0, "BULKHEAD_TEST_PG has no unix socket");
  struct slice text = slice_skip(slice_from_string(conninfo), 5);
  size_t end = slice_find(text, ' ', 0);
  *rest = text.data + end;
  return arena_string(&world->arena, slice_make(text.data, end));
}

static struct redis *redis_at(struct world *world, const char *host)
{
  struct redis *redis;
  struct error error;
  const struct redis_options options = {.url = arena_printf(&world->arena, "redis://%s:%u/0", host, front.port),
                                        .password = NULL,
                                        .command_timeout_ms = 2000};
  cr_assert_eq(redis_create(world->loop, &options, &redis, &error), STATUS_OK, "%s", error.message);
  return redis;
}

static struct pg *pg_at(struct world *world, const char *host)
{
  const char *rest;
  pg_folder(world, &rest);
  const struct pg_options options = {
      .conninfo = arena_printf(&world->arena, "host=%s port=%u%s", host, front.port, rest), .pipelined_connections = 1};
  return pg_create(world->loop, &options);
}

static bool is_up(void *redis)
{
  return redis_up(redis);
}

static void with_front_of_redis(void (*body)(struct world *world))
{
  front_open(&front, redis_socket());
  with_loop(body);
  front_close(&front);
}

static void open_front_of_pg(struct world *world)
{
  const char *rest;
  front_open(&front, arena_printf(&world->arena, "%s/.s.PGSQL.5432", pg_folder(world, &rest)));
}

static void with_front_of_pg(void (*body)(struct world *world))
{
  struct world world = {0};
  open_front_of_pg(&world);
  arena_free(&world.arena);
  with_loop(body);
  front_close(&front);
}

// ---- a name that leads there ----

static void expect_redis_at(struct world *world, const char *host, size_t look_ups)
{
  size_t before = names_looked_up();
  struct redis *redis = redis_at(world, host);
  wait_until(is_up, redis);
  redis_free(&redis);
  cr_expect_eq(names_looked_up(), before + look_ups, "%s", host);
  cr_expect_eq(names_looked_up_in_place(), 0, "%s", host);
}

static void check_redis_names(struct world *world)
{
  expect_redis_at(world, "localhost", 0);
  expect_redis_at(world, "one.test", 1);
  // Each address of a name is tried.
  expect_redis_at(world, "two.test", 1);
}

Test(connecting, redis_is_found_by_name, .timeout = 60)
{
  with_front_of_redis(check_redis_names);
}

// One is pipelined, one probes, and one is the pool's.
static bool has_all_connections(void *arg)
{
  (void)arg;
  return read_single_metric(METRIC_PG_CONNECTIONS) == 3;
}

static void expect_pg_at(struct world *world, const char *host, size_t look_ups)
{
  size_t before = names_looked_up();
  world->pg = pg_at(world, host);
  cr_assert_eq(pg_wait_ready(world->pg), STATUS_OK, "%s", host);
  cr_expect_str_eq(run_sql(world, "SELECT 'here'"), "here");
  // A transaction opens a connection of its own from within its task.
  struct pg_tx *tx;
  cr_assert_eq(pg_begin(world->pg, &tx), STATUS_OK, "%s", host);
  pg_rollback(&tx);
  wait_until(has_all_connections, NULL);
  pg_free(&world->pg);
  cr_expect_eq(names_looked_up(), before + look_ups, "%s", host);
  cr_expect_eq(names_looked_up_in_place(), 0, "%s", host);
}

static void check_pg_names(struct world *world)
{
  expect_pg_at(world, "localhost", 0);
  expect_pg_at(world, "one.test", 3);
  expect_pg_at(world, "two.test", 3);
}

Test(connecting, postgres_is_found_by_name, .timeout = 60)
{
  with_front_of_pg(check_pg_names);
}

static void check_pg_hosts(struct world *world)
{
  expect_pg_at(world, "127.0.0.2,one.test", 3);
}

Test(connecting, several_hosts_are_resolved_beside_the_loop, .timeout = 60)
{
  with_front_of_pg(check_pg_hosts);
}

// ---- a name that nobody has, until somebody has it ----

static bool has_failed_twice(void *arg)
{
  (void)arg;
  const struct slice failed = SLICE("failed");
  return read_metric(METRIC_PG_CONNECTS, &failed, 1) >= 2;
}

static void check_pg_absent(struct world *world)
{
  world->pg = pg_at(world, "absent.test");
  wait_until(has_failed_twice, NULL);
  names_appear();
  cr_assert_eq(pg_wait_ready(world->pg), STATUS_OK);
  pg_free(&world->pg);
  cr_expect_eq(names_looked_up_in_place(), 0);
  cr_expect_eq(count_logged("cannot resolve the host name \\\"absent.test\\\"", NULL), 1);
}

Test(connecting, postgres_is_there_when_its_name_is, .timeout = 60)
{
  capture_log();
  with_front_of_pg(check_pg_absent);
}

static bool has_looked_twice(void *arg)
{
  (void)arg;
  return names_looked_up() >= 2;
}

static void check_redis_absent(struct world *world)
{
  struct redis *redis = redis_at(world, "absent.test");
  wait_until(has_looked_twice, NULL);
  names_appear();
  wait_until(is_up, redis);
  redis_free(&redis);
  cr_expect_eq(names_looked_up_in_place(), 0);
  cr_expect_eq(count_logged("cannot resolve the host name \\\"absent.test\\\"", NULL), 1);
}

Test(connecting, redis_is_there_when_its_name_is, .timeout = 60)
{
  capture_log();
  with_front_of_redis(check_redis_absent);
}

// ---- an outage ----

enum { MANY_CONNECTIONS = 4 };

static bool has_failed_often(void *arg)
{
  (void)arg;
  const struct slice failed = SLICE("failed");
  return read_metric(METRIC_PG_CONNECTS, &failed, 1) >= 3 * MANY_CONNECTIONS;
}

// With the pipelined ones, one probes.
static bool has_many_connections(void *arg)
{
  (void)arg;
  return read_single_metric(METRIC_PG_CONNECTIONS) == MANY_CONNECTIONS + 1;
}

// `more` goes to the end of the connection string.
static struct pg *absent_pg(struct world *world, const char *more)
{
  const char *rest;
  pg_folder(world, &rest);
  const struct pg_options options = {
      .conninfo = arena_printf(&world->arena, "host=absent.test port=%u%s%s", front.port, rest, more),
      .pipelined_connections = MANY_CONNECTIONS};
  return pg_create(world->loop, &options);
}

static void check_outage(struct world *world)
{
  world->pg = absent_pg(world, "");
  wait_until(has_failed_often, NULL);
  cr_expect_eq(count_logged("\"level\":\"warn\"", "cannot reach PostgreSQL"), 1, "one for all connections");
  cr_expect_eq(count_logged("cannot reach PostgreSQL", "cannot resolve the host name \\\"absent.test\\\""), 1);
  cr_expect_eq(count_logged("connected to PostgreSQL again", NULL), 0);
  names_appear();
  wait_until(has_many_connections, NULL);
  cr_expect_eq(count_logged("\"level\":\"info\"", "connected to PostgreSQL again"), 1, "one for all connections");
  pg_free(&world->pg);
}

Test(connecting, an_outage_of_postgres_and_its_end_are_told_once, .timeout = 60)
{
  capture_log();
  with_front_of_pg(check_outage);
}

static void check_wrong_password(struct world *world)
{
  names_appear();
  world->pg = absent_pg(world, " password=hush-hush");
  wait_until(has_failed_often, NULL);
  cr_expect_eq(count_logged("cannot reach PostgreSQL", "password authentication failed"), 1);
  cr_expect_eq(count_logged("hush-hush", NULL), 0);
  pg_free(&world->pg);
}

Test(connecting, a_wrong_password_is_told_but_not_shown, .timeout = 60)
{
  capture_log();
  with_front_of_pg(check_wrong_password);
}

// ---- a resolver that does not answer ----

static bool has_looked(void *arg)
{
  (void)arg;
  return names_looked_up() > 0;
}

// Another server serves meanwhile, and both attempts can be given up.
static void check_silent(struct world *world)
{
  const char *rest;
  const char *folder = pg_folder(world, &rest);
  const struct pg_options options = {.conninfo = arena_printf(&world->arena, "host=%s%s", folder, rest),
                                     .pipelined_connections = 1};
  front.port = 1;  // nobody gets as far as that
  struct pg *silent_pg = pg_at(world, "silent.test");
  struct redis *silent_redis = redis_at(world, "silent.test");
  wait_until(has_looked, NULL);
  world->pg = pg_create(world->loop, &options);
  cr_assert_eq(pg_wait_ready(world->pg), STATUS_OK);
  cr_expect_str_eq(run_sql(world, "SELECT 'here'"), "here");
  cr_expect_not(pg_ready(silent_pg));
  cr_expect_not(redis_up(silent_redis));
  pg_free(&silent_pg);
  redis_free(&silent_redis);
  pg_free(&world->pg);
  names_release();
}

Test(connecting, a_silent_resolver_holds_up_nobody_else, .timeout = 60)
{
  with_loop(check_silent);
}

static bool has_looked_again(void *arg)
{
  return names_looked_up() > *(size_t *)arg;
}

static void check_overdue(struct world *world)
{
  struct redis *redis = redis_at(world, "silent.test");
  size_t first = 1;
  wait_until(has_looked_again, &first);
  cr_expect_eq(count_logged("resolving the host name took too long", NULL), 1);
  names_release();
  wait_until(is_up, redis);
  redis_free(&redis);
}

Test(connecting, the_time_to_connect_bounds_the_look_up, .timeout = 60)
{
  capture_log();
  with_front_of_redis(check_overdue);
}

// ---- hosts that need no look-up ----

static size_t threads_of_this_process(void)
{
  size_t threads = 0;
  DIR *tasks = opendir("/proc/self/task");
  cr_assert_not_null(tasks);
  for (const struct dirent *entry; (entry = readdir(tasks)) != NULL;)
    threads += entry->d_name[0] != '.';
  closedir(tasks);
  return threads;
}

static void check_numbers(struct world *world)
{
  size_t before = threads_of_this_process();
  expect_redis_at(world, "127.0.0.1", 0);
  front_close(&front);
  open_front_of_pg(world);
  expect_pg_at(world, "127.0.0.1", 0);
  const char *rest;
  const char *folder = pg_folder(world, &rest);
  const struct pg_options options = {.conninfo = arena_printf(&world->arena, "host=%s%s", folder, rest)};
  world->pg = pg_create(world->loop, &options);
  cr_assert_eq(pg_wait_ready(world->pg), STATUS_OK);
  pg_free(&world->pg);
  cr_expect_eq(threads_of_this_process(), before);
}

Test(connecting, numbers_and_paths_start_no_thread, .timeout = 60)
{
  with_front_of_redis(check_numbers);
}

// ---- a loop that is late itself ----

static void check_late(struct world *world)
{
  const char *rest;
  const char *folder = pg_folder(world, &rest);
  const struct pg_options options = {.conninfo = arena_printf(&world->arena, "host=%s%s", folder, rest),
                                     .pipelined_connections = 1};
  world->pg = pg_create(world->loop, &options);
  struct redis *redis = redis_at(world, "127.0.0.1");
  poll(NULL, 0, CONNECT_TIMEOUT_MS + 500);
  cr_assert_eq(pg_wait_ready(world->pg), STATUS_OK);
  wait_until(is_up, redis);
  cr_expect_eq(count_logged("will try again", NULL), 0);
  redis_free(&redis);
  pg_free(&world->pg);
}

Test(connecting, a_late_loop_is_not_the_servers_fault, .timeout = 60)
{
  capture_log();
  with_front_of_redis(check_late);
}
