// Several PostgreSQL servers in one connection string: one of them vanishes, dies, or is a stand-by.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/storage/migrate.h"
#include "common/storage/pg_internal.h"
#include "tests/component/storage/names.h"
#include "tests/component/storage/support.h"

static struct server first;
static struct server second;
static struct front first_front;
static struct front second_front;

static void open_front(struct front *front, const struct server *server)
{
  char path[96];
  snprintf(path, sizeof(path), "%s/.s.PGSQL.5432", server->folder);
  front_open(front, path);
}

static void setup(void)
{
  postgres_start(&first);
  postgres_start(&second);
  open_front(&first_front, &first);
  open_front(&second_front, &second);
}

static void teardown(void)
{
  front_close(&first_front);
  front_close(&second_front);
  postgres_stop(&first);
  postgres_stop(&second);
}

TestSuite(pg_hosts, .init = setup, .fini = teardown, .timeout = 120);

// `more` goes to the end of the connection string.
static void connect(struct world *world, const char *more)
{
  const struct pg_options options = {
      .conninfo = arena_printf(&world->arena, "host=127.0.0.1,127.0.0.1 port=%u,%u user=test dbname=postgres%s",
                               first_front.port, second_front.port, more),
      .pipelined_connections = 1};
  world->pg = pg_create(world->loop, &options);
}

static bool is_answered_by(struct world *world, const struct server *server)
{
  struct pg_result result;
  const struct pg_statement *where = statement("SHOW data_directory", PG_LANE_WRITE);
  return pg_query(world->pg, where, NULL, &world->arena, &result) == STATUS_OK &&
         strncmp(cell_text(&result, 0, 0), server->folder, strlen(server->folder)) == 0;
}

// Repeats a query until this server answers; each attempt ends by itself.
static void wait_for(struct world *world, const struct server *server)
{
  while (!is_answered_by(world, server))
    cr_assert_eq(task_sleep_ms(10), STATUS_OK, "%s does not answer", server == &first ? "the first" : "the second");
}

// ---- a host that vanishes ----

static void check_vanished_before(struct world *world)
{
  front_vanish(&first_front);
  connect(world, "");
  cr_assert_eq(pg_wait_ready(world->pg), STATUS_OK, "libpq does not leave a host that swallows its packets");
  wait_for(world, &second);
  cr_expect_eq(count_logged("the next one is tried", NULL), 1, "one connection pays for all");
  pg_free(&world->pg);
}

Test(pg_hosts, one_that_has_vanished_is_left)
{
  capture_log();
  with_loop(check_vanished_before);
}

static void check_vanishing(struct world *world)
{
  connect(world, "");
  wait_for(world, &first);
  front_vanish(&first_front);
  wait_for(world, &second);
  // The one that has returned is used when the other is lost.
  front_return(&first_front);
  front_vanish(&second_front);
  wait_for(world, &first);
  pg_free(&world->pg);
}

Test(pg_hosts, the_next_takes_over_from_one_that_vanishes)
{
  with_loop(check_vanishing);
}

static void check_leaving_together(struct world *world)
{
  capture_log();
  // Without keep-alives in time only what has sent something learns by itself that nobody answers. The connection of
  // the point reads sends nothing here.
  connect(world, " keepalives_idle=600");
  cr_assert_eq(pg_wait_ready(world->pg), STATUS_OK);
  wait_for(world, &first);
  front_vanish(&first_front);
  wait_for(world, &second);
  static const struct pg_statement read = {.name = "read", .sql = "SHOW data_directory", .lane = PG_LANE_POINT};
  while (count_logged("connection lost", "\"inFlight\":0") == 0)
    cr_assert_eq(task_sleep_ms(10), STATUS_OK, "an idle connection stays at a host that has vanished");
  cr_expect_gt(count_logged("connection lost", "the host confirms nothing"), 0);
  struct pg_result result;
  cr_assert_eq(pg_query(world->pg, &read, NULL, &world->arena, &result), STATUS_OK);
  cr_expect_eq(strncmp(cell_text(&result, 0, 0), second.folder, strlen(second.folder)), 0);
  pg_free(&world->pg);
}

Test(pg_hosts, idle_connections_leave_with_the_first_that_notices)
{
  with_loop(check_leaving_together);
}

static void check_unconfirmed(struct world *world)
{
  // The kernel waits for longer than this test.
  connect(world, " tcp_user_timeout=600000 keepalives_idle=600");
  wait_for(world, &first);
  front_vanish(&first_front);
  wait_for(world, &second);
  pg_free(&world->pg);
}

Test(pg_hosts, one_that_confirms_nothing_is_left_before_the_kernel_gives_up)
{
  with_loop(check_unconfirmed);
}

static void check_frozen(struct world *world)
{
  capture_log();
  connect(world, "");
  wait_for(world, &first);
  // What asks the server whether it is there has a connection of its own.
  while (world->pg->probe.connection.state != PG_OPEN)
    cr_assert_eq(task_sleep_ms(1), STATUS_OK);
  postgres_signal(&first, SIGSTOP);
  while (count_logged("PostgreSQL has not answered an empty statement", NULL) == 0)
    cr_assert_eq(task_sleep_ms(10), STATUS_OK);
  cr_expect_eq(count_logged("connection lost", NULL), 0, "its host confirms what it gets");
  postgres_signal(&first, SIGCONT);
  wait_for(world, &first);
  pg_free(&world->pg);
}

Test(pg_hosts, a_frozen_server_is_not_taken_for_a_vanished_host)
{
  with_loop(check_frozen);
}

static void check_migration(struct world *world)
{
  struct error error = {0};
  size_t count;
  static const struct migration notes = {
      .version = 1, .name = "notes", .up = SLICE_INIT("CREATE TABLE notes (id int)"), .down = SLICE_INIT("SELECT 1")};
  const struct migration_set set = {.schema = "notes", .migrations = &notes, .count = 1};
  front_vanish(&first_front);
  const char *conninfo = arena_printf(&world->arena, "host=127.0.0.1,127.0.0.1 port=%u,%u user=test dbname=postgres",
                                      first_front.port, second_front.port);
  cr_assert_eq(migrate_up(conninfo, &set, &count, &error), STATUS_OK, "%s", error.message);
  cr_expect_eq(count, 1);
}

Test(pg_hosts, a_migration_leaves_one_that_has_vanished)
{
  with_loop(check_migration);
}

// ---- a server that dies ----

static void check_death(struct world *world)
{
  connect(world, "");
  wait_for(world, &first);
  postgres_signal(&first, SIGKILL);
  wait_for(world, &second);
  pg_free(&world->pg);
}

Test(pg_hosts, the_next_takes_over_from_one_that_dies)
{
  with_loop(check_death);
}

// ---- a stand-by ----

static void make_read_only(struct world *world, bool is_read_only)
{
  run_sql(world, is_read_only ? "ALTER SYSTEM SET default_transaction_read_only = on"
                              : "ALTER SYSTEM SET default_transaction_read_only = off");
  run_sql(world, "SELECT pg_reload_conf()");
  // The server reads its configuration some time later, and tells its sessions then.
  while (strcmp(run_sql(world, "SHOW default_transaction_read_only"), is_read_only ? "on" : "off") != 0)
    cr_assert_eq(task_sleep_ms(1), STATUS_OK);
}

static void check_stand_by(struct world *world)
{
  connect(world, " target_session_attrs=any");
  wait_for(world, &first);
  make_read_only(world, true);
  pg_free(&world->pg);
  connect(world, "");
  wait_for(world, &second);
  pg_free(&world->pg);
}

Test(pg_hosts, a_service_goes_to_the_one_that_takes_writes)
{
  with_loop(check_stand_by);
}

static void check_demotion(struct world *world)
{
  connect(world, "");
  wait_for(world, &first);
  run_sql(world, "CREATE TABLE notes (id int)");
  make_read_only(world, true);
  // Whoever writes meets the stand-by, and the next one the server that has taken over.
  enum status status;
  while ((status = run_status(world, "CREATE TABLE IF NOT EXISTS found (id int)")) == STATUS_OK)
    cr_assert_eq(task_sleep_ms(1), STATUS_OK);
  cr_expect_eq(status, STATUS_UNAVAILABLE);
  wait_for(world, &second);
  cr_expect_eq(run_status(world, "CREATE TABLE found (id int)"), STATUS_OK);
  pg_free(&world->pg);
}

Test(pg_hosts, a_server_that_becomes_a_stand_by_is_left)
{
  with_loop(check_demotion);
}

// ---- one host, which leads elsewhere after a failover ----

struct write {
  struct crew *crew;
  enum status status;
  enum task_effect effect;
};

static void write_once(void *arg)
{
  struct write *write = arg;
  write->status = run_status(write->crew->world, "CREATE TABLE IF NOT EXISTS found (id int)");
  write->effect = task_effect();
  crew_finished(write->crew);
}

// A task of its own, because an effect is the highest of all that a task has had.
static struct write try_to_write(struct world *world)
{
  struct crew crew = {.world = world};
  struct write write = {.crew = &crew};
  crew_start(&crew, write_once, &write);
  crew_join(&crew);
  return write;
}

static bool reads_from(struct world *world, const struct server *server)
{
  struct pg_result result;
  const struct pg_statement *where = statement("SHOW data_directory", PG_LANE_POINT);
  return pg_query(world->pg, where, NULL, &world->arena, &result) == STATUS_OK &&
         strncmp(cell_text(&result, 0, 0), server->folder, strlen(server->folder)) == 0;
}

// Lets the folder's socket lead to another server.
static void lead(const char *folder, const struct server *server)
{
  char link[128], target[128];
  snprintf(link, sizeof(link), "%s/.s.PGSQL.5432", folder);
  snprintf(target, sizeof(target), "%s/.s.PGSQL.5432", server->folder);
  unlink(link);
  cr_assert_eq(symlink(target, link), 0);
}

static void check_fence(struct world *world)
{
  char folder[] = "/tmp/bulkhead-test-XXXXXX", link[64];
  cr_assert_not_null(mkdtemp(folder));
  lead(folder, &first);
  const struct pg_options options = {
      .conninfo = arena_printf(&world->arena, "host=%s user=test dbname=postgres", folder), .pipelined_connections = 2};
  world->pg = pg_create(world->loop, &options);
  wait_for(world, &first);
  cr_assert(reads_from(world, &first));
  make_read_only(world, true);
  lead(folder, &second);
  struct write write;
  while ((write = try_to_write(world)).status == STATUS_OK)
    cr_assert_eq(task_sleep_ms(1), STATUS_OK);
  cr_expect_eq(write.status, STATUS_UNAVAILABLE);
  cr_expect_eq(write.effect, TASK_NO_EFFECT, "the server has said that nothing was changed");
  // All that comes later finds the server that has taken over: reads would be stale elsewhere.
  cr_expect(reads_from(world, &second));
  cr_expect_eq(try_to_write(world).status, STATUS_OK);
  cr_expect(is_answered_by(world, &second));
  pg_free(&world->pg);
  snprintf(link, sizeof(link), "%s/.s.PGSQL.5432", folder);
  unlink(link);
  rmdir(folder);
}

Test(pg_hosts, a_server_that_was_fenced_is_left_also_where_one_host_leads_to_its_successor)
{
  with_loop(check_fence);
}

static void check_fenced_alone(struct world *world)
{
  connect(world, " target_session_attrs=any");
  wait_for(world, &first);
  run_sql(world, "CREATE TABLE notes (id int)");
  make_read_only(world, true);
  pg_free(&world->pg);
  const struct pg_options options = {.conninfo =
                                         arena_printf(&world->arena, "host=%s user=test dbname=postgres", first.folder),
                                     .pipelined_connections = 1};
  world->pg = pg_create(world->loop, &options);
  cr_assert_eq(pg_wait_ready(world->pg), STATUS_OK);
  uint64_t begun_us = clock_now_us();
  size_t before = count_logged("all connections are opened again", NULL);
  for (size_t i = 0; i < 50; i++) {
    cr_expect_eq(try_to_write(world).status, STATUS_UNAVAILABLE);
    cr_expect(reads_from(world, &first), "a server that nobody has taken over from can still be read");
  }
  size_t dialled = count_logged("all connections are opened again", NULL) - before;
  cr_expect_leq(dialled, (clock_now_us() - begun_us) / UINT64_C(2000000) + 1, "not dialled again for each write");
  cr_expect_gt(world->pg->fence.pause_ms, 0);
  make_read_only(world, false);
  while (run_status(world, "INSERT INTO notes VALUES (1)") != STATUS_OK)
    cr_assert_eq(task_sleep_ms(10), STATUS_OK);
  cr_expect_eq(world->pg->fence.pause_ms, 0, "a write was accepted");
  pg_free(&world->pg);
}

Test(pg_hosts, the_only_server_may_be_read_only)
{
  capture_log();
  with_loop(check_fenced_alone);
}
