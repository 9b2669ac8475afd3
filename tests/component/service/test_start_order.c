// A service that is started before what it needs.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/component/service/probe_process.h"
#include "tests/support/service/database.h"

static struct database database;
static struct process probe;
static char folder[64];  // where the sockets of PostgreSQL and Redis appear

static void setup(void)
{
  database_create(&database, (const char *const[]){"probe", NULL});
  snprintf(folder, sizeof(folder), "/tmp/bulkhead-test-XXXXXX");
  cr_assert_not_null(mkdtemp(folder));
  cr_assert_eq(chmod(folder, 0755), 0);
}

static const char *socket_in_folder(const char *name)
{
  return arena_printf(&database.arena, "%s/%s", folder, name);
}

static void teardown(void)
{
  process_free(&probe);
  unlink(socket_in_folder(".s.PGSQL.5432"));
  unlink(socket_in_folder("redis"));
  rmdir(folder);
  database_drop(&database);
}

TestSuite(start_order, .init = setup, .fini = teardown, .timeout = 120);

// Returns a setting whose connection string leads to the folder: "host=/..." stands in front in BULKHEAD_TEST_PG.
static const char *in_folder(const char *setting, const char *conninfo)
{
  const char *rest = strchr(conninfo, ' ');
  cr_assert(rest != NULL && strncmp(conninfo, "host=/", 6) == 0, "BULKHEAD_TEST_PG has no unix socket");
  return arena_printf(&database.arena, "%s=host=%s%s", setting, folder, rest);
}

static void let_postgres_appear(void)
{
  const char *conninfo = getenv("BULKHEAD_TEST_PG");
  const char *host = conninfo + strlen("host=");
  const char *path = arena_printf(&database.arena, "%.*s/.s.PGSQL.5432", (int)strcspn(host, " "), host);
  cr_assert_eq(symlink(path, socket_in_folder(".s.PGSQL.5432")), 0);
}

static void let_redis_appear(void)
{
  const char *url = getenv("BULKHEAD_TEST_REDIS");
  cr_assert(url != NULL && strncmp(url, "unix://", 7) == 0);
  cr_assert_eq(symlink(url + 7, socket_in_folder("redis")), 0);
}

static void expect_end(void)
{
  cr_expect_eq(process_stop(&probe), 0, "%s", strbuf_cstring(&probe.output));
}

Test(start_order, the_stores_may_come_later)
{
  const char *const environment[] = {
      in_folder("PG_CONNINFO", database_of_owner(&database, "probe")),
      arena_printf(&database.arena, "REDIS_URL=unix://%s", socket_in_folder("redis")),
      "CONSUL_URL=http://127.0.0.1:1",
      NULL,
  };
  probe_start(&probe, NULL, environment);
  process_wait_admin(&probe);
  process_wait_http(&probe, "/readyz",
                    "{\"status\":\"starting\",\"checks\":{\"postgres\":\"down\",\"redis\":\"down\","
                    "\"consul\":\"down\"");
  process_wait_output(&probe, "cannot reach PostgreSQL, will try again");
  let_postgres_appear();
  process_wait_http(&probe, "/readyz", "{\"status\":\"ready\",\"checks\":{\"postgres\":\"up\",\"redis\":\"down\"");
  let_redis_appear();
  process_wait_http(&probe, "/readyz", "\"redis\":\"up\"");
  expect_end();
}

// Starts a service whose role is there, while that of the schema's owner is not.
static void start_before_owner(void)
{
  const char *const environment[] = {
      arena_printf(&database.arena, "PG_CONNINFO=%s", database_of_service(&database, "probe")),
      in_folder("PG_MIGRATE_CONNINFO", database_of_owner(&database, "probe")),
      NULL,
  };
  probe_start(&probe, NULL, environment);
  process_wait_admin(&probe);
}

// The role of the schema's owner may be made, or its server be reached, later than that of the service.
Test(start_order, what_migrates_may_come_later)
{
  start_before_owner();
  process_wait_http(&probe, "/readyz", "{\"status\":\"migrating\"");
  process_wait_http(&probe, "/readyz", "503 Service Unavailable");
  process_wait_output(&probe, "the start waits for what it needs");
  EXPECT_OUTPUT(probe, "migrations: PostgreSQL: cannot connect");
  let_postgres_appear();
  process_wait_ready(&probe);
  expect_end();
}

Test(start_order, the_migrations_may_be_applied_later_by_others)
{
  const char *conninfo = arena_printf(&database.arena, "PG_CONNINFO=%s", database_of_service(&database, "probe"));
  const char *owner = arena_printf(&database.arena, "PG_MIGRATE_CONNINFO=%s", database_of_owner(&database, "probe"));
  probe_start(&probe, NULL, (const char *const[]){conninfo, "MIGRATE_ON_START=false", NULL});
  process_wait_admin(&probe);
  process_wait_http(&probe, "/readyz", "{\"status\":\"migrating\"");
  process_wait_output(&probe, "schema probe lacks 0001_");
  struct process job;
  probe_start(&job, (char *[]){"probe", "migrate", "up", NULL}, (const char *const[]){conninfo, owner, NULL});
  cr_expect_eq(process_end(&job), 0, "%s", strbuf_cstring(&job.output));
  process_free(&job);
  process_wait_ready(&probe);
  expect_end();
}

Test(start_order, a_start_that_waits_can_be_ended)
{
  start_before_owner();
  process_wait_output(&probe, "the start waits for what it needs");
  expect_end();
}

// ---- connections ----

Test(start_order, more_connections_than_postgres_takes_are_told)
{
  const char *conninfo = arena_printf(&database.arena, "PG_CONNINFO=%s", database_of_owner(&database, "probe"));
  probe_serve(&probe, (const char *const[]){conninfo, "PG_POOL_SIZE=256", NULL});
  expect_end();
  EXPECT_OUTPUT(probe, "PostgreSQL does not take as many connections as this instance may open");
  EXPECT_OUTPUT(probe, "\"connections\":266,\"limit\":20");
}

Test(start_order, the_instances_that_fit_are_counted)
{
  const char *conninfo = arena_printf(&database.arena, "PG_CONNINFO=%s", database_of_owner(&database, "probe"));
  probe_serve(&probe, (const char *const[]){conninfo, "PG_POOL_SIZE=1", "PG_SCAN_CONNECTIONS=1", NULL});
  expect_end();
  EXPECT_OUTPUT(probe, "\"connections\":8,\"limit\":20,\"instances\":2");
}
