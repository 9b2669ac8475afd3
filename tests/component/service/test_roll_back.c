// An older release and a schema that a later one has migrated, as after a roll-back.
#include <criterion/criterion.h>
#include <string.h>

#include "item/v1/item.pb-c.h"
#include "tests/component/service/probe.h"
#include "tests/component/service/probe_process.h"
#include "tests/support/environment.h"
#include "tests/support/service/database.h"

// The probe's own migrations end with 0001.
#define LATER_MIGRATION "INSERT INTO probe.schema_migrations (version, name, sha256, compatible_from) VALUES "

static struct database database;
static const char *owner;

static void setup(void)
{
  database_create(&database, (const char *const[]){"probe", NULL});
  owner = arena_printf(&database.arena, "PG_CONNINFO=%s", database_of_owner(&database, "probe"));
  struct process probe;
  probe_start(&probe, (char *[]){"probe", "migrate", "up", NULL}, (const char *const[]){owner, NULL});
  cr_assert_eq(process_end(&probe), 0, "%s", strbuf_cstring(&probe.output));
  process_free(&probe);
}

static void teardown(void)
{
  database_drop(&database);
}

TestSuite(roll_back, .init = setup, .fini = teardown);

static void expect_start(const char *migrate_on_start)
{
  struct process probe;
  probe_serve(&probe, (const char *const[]){owner, migrate_on_start, NULL});
  cr_expect_eq(process_stop(&probe), 0);
  EXPECT_OUTPUT(probe, "the schema is newer than this release");
  EXPECT_OUTPUT(probe, "\"schemaVersion\":2,\"releaseVersion\":1");
  process_free(&probe);
}

static void expect_no_start(const char *migrate_on_start)
{
  struct process probe;
  probe_start(&probe, NULL, (const char *const[]){owner, migrate_on_start, NULL});
  cr_expect_eq(process_end(&probe), 1);
  EXPECT_OUTPUT(probe, "migration 0002_later is applied and unknown to this release, whose last is 0001");
  process_free(&probe);
}

Test(roll_back, the_release_before_starts_with_a_compatible_schema)
{
  database_sql(&database, LATER_MIGRATION "(2, 'later', '', 1)");
  expect_start("MIGRATE_ON_START=true");
  expect_start("MIGRATE_ON_START=false");
}

Test(roll_back, the_release_before_refuses_a_schema_that_does_not_say_so)
{
  database_sql(&database, LATER_MIGRATION "(2, 'later', '', NULL)");
  expect_no_start("MIGRATE_ON_START=true");
  expect_no_start("MIGRATE_ON_START=false");
}

#define LIST "'probe.schema_migrations'::regclass"

// A list that could not be read in time says nothing of whether the release fits.
Test(roll_back, a_list_of_migrations_that_is_locked_is_read_again)
{
  database_sql(&database, LATER_MIGRATION "(2, 'later', '', NULL)");
  struct process lock, probe;
  process_prepare(&lock);
  char *hold = "BEGIN; LOCK TABLE probe.schema_migrations IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(600)";
  process_launch(&lock, arena_printf(&database.arena, "%s/psql", need_variable("BULKHEAD_PG_BIN")),
                 (char *[]){"psql", "-XqAt", "-c", hold, (char *)(uintptr_t)database_of_superuser(&database), NULL},
                 NULL);
  database_wait_sql(&database, "SELECT count(*) FROM pg_locks WHERE granted AND relation = " LIST, "1");
  const char *impatient = arena_printf(&database.arena, "%s options='-c lock_timeout=50ms'", owner);
  probe_start(&probe, NULL, (const char *const[]){impatient, "MIGRATE_ON_START=false", NULL});
  process_wait_output(&probe, "the start waits for what it needs");
  EXPECT_OUTPUT(probe, "SQLSTATE 55P03");
  database_sql(&database, "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE granted AND relation = " LIST);
  cr_expect_eq(process_end(&probe), 1);
  EXPECT_OUTPUT(probe, "migration 0002_later is applied and unknown to this release, whose last is 0001");
  (void)process_end(&lock);
  process_free(&lock);
  process_free(&probe);
}

Test(roll_back, a_list_of_migrations_that_the_role_may_not_read_stops_no_start)
{
  const char *role = arena_printf(&database.arena, "PG_CONNINFO=%s", database_of_service(&database, "probe"));
  database_sql(&database, "REVOKE SELECT ON probe.schema_migrations FROM bulkhead_probe");
  struct process probe;
  probe_serve(&probe, (const char *const[]){role, "MIGRATE_ON_START=false", NULL});
  cr_expect_eq(process_stop(&probe), 0);
  EXPECT_OUTPUT(probe, "the role may not read which migrations were applied");
  process_free(&probe);
}
