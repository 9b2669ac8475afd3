// Migrations on a real PostgreSQL, each test in a schema of its own.
#include <criterion/criterion.h>
#include <ftw.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/storage/migrate.h"
#include "tests/component/storage/support.h"

static const struct migration MIGRATIONS[] = {
    {.version = 1,
     .name = "first",
     .up = SLICE_INIT("CREATE TABLE a (id int);\nCREATE TABLE b (id int); -- größe\n"),
     .down = SLICE_INIT("DROP TABLE b; DROP TABLE a;")},
    {.version = 2, .name = "second", .up = SLICE_INIT("INSERT INTO a VALUES (1)"), .down = SLICE_INIT("DELETE FROM a")},
    {.version = 3,
     .name = "third",
     .up = SLICE_INIT("ALTER TABLE a ADD name text"),
     .down = SLICE_INIT("ALTER TABLE a DROP name")},
};

static struct migration_set set_of(struct world *world, size_t count)
{
  return (struct migration_set){.schema = world->schema, .migrations = MIGRATIONS, .count = count};
}

static const char *conninfo(void)
{
  return getenv("BULKHEAD_TEST_PG");
}

// The migrations block the loop, and no other task needs it here.
static void check_up_and_down(struct world *world)
{
  struct error error = {0};
  size_t n = 99;
  struct migration_set two = set_of(world, 2);
  struct migration_set three = set_of(world, 3);
  cr_assert_eq(migrate_up(conninfo(), &two, &n, &error), STATUS_OK, "%s", error.message);
  cr_assert_eq(n, 2);
  cr_assert_eq(migrate_up(conninfo(), &two, &n, &error), STATUS_OK);
  cr_assert_eq(n, 0);
  cr_assert_eq(migrate_up(conninfo(), &three, &n, &error), STATUS_OK);
  cr_assert_eq(n, 1);
  cr_assert_null(run_sql(world, "SELECT name FROM a"));

  cr_assert_eq(migrate_up(conninfo(), &two, &n, &error), STATUS_FAILED_PRECONDITION, "an older program");
  cr_assert_not_null(strstr(error.message, "0003"), "%s", error.message);

  cr_assert_eq(migrate_down(conninfo(), &three, 2, &n, &error), STATUS_OK, "%s", error.message);
  cr_assert_eq(n, 2);
  cr_assert_str_eq(run_sql(world, "SELECT (SELECT count(*) FROM a) || '-' || count(*) FROM schema_migrations"), "0-1");
  cr_assert_eq(migrate_down(conninfo(), &three, 9, &n, &error), STATUS_OK);
  cr_assert_eq(n, 1);
  cr_assert_str_eq(run_sql(world, "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema"), "1");
  cr_assert_eq(migrate_up(conninfo(), &three, &n, &error), STATUS_OK);
  cr_assert_eq(n, 3);
}

Test(migrate, up_and_down)
{
  with_pg(check_up_and_down);
}

// ---- a schema that is newer than the release ----

// What the release of four migrations brings: 0004 expands, so that releases with 0003 still run, and 0005 contracts,
// so that only those with 0004 do.
static const struct migration EXPAND = {.version = 4,
                                        .name = "expand",
                                        .up = SLICE_INIT("ALTER TABLE a ADD title text"),
                                        .down = SLICE_INIT("ALTER TABLE a DROP title"),
                                        .compatible_from = 3};
static const struct migration CONTRACT = {.version = 5,
                                          .name = "contract",
                                          .up = SLICE_INIT("ALTER TABLE a DROP name"),
                                          .down = SLICE_INIT("ALTER TABLE a ADD name text"),
                                          .compatible_from = 4};

static void check_roll_back(struct world *world)
{
  struct error error = {0};
  size_t n = 99;
  struct migration all[] = {MIGRATIONS[0], MIGRATIONS[1], MIGRATIONS[2], EXPAND, CONTRACT};
  struct migration_set two = set_of(world, 2);
  struct migration_set three = set_of(world, 3);
  struct migration_set four = {.schema = world->schema, .migrations = all, .count = 4};
  struct migration_set five = {.schema = world->schema, .migrations = all, .count = 5};
  cr_assert_eq(migrate_check(conninfo(), &two, &error), STATUS_UNAVAILABLE, "there is nothing yet");
  cr_assert_not_null(strstr(error.message, "lacks 0001_first"), "%s", error.message);
  cr_assert_eq(migrate_up(conninfo(), &four, &n, &error), STATUS_OK, "%s", error.message);

  // The release before starts again, and changes nothing.
  cr_assert_eq(migrate_up(conninfo(), &three, &n, &error), STATUS_OK, "%s", error.message);
  cr_assert_eq(n, 0);
  cr_assert_eq(migrate_check(conninfo(), &three, &error), STATUS_OK, "%s", error.message);
  cr_assert_eq(migrate_down(conninfo(), &three, 1, &n, &error), STATUS_FAILED_PRECONDITION, "it cannot revert 0004");
  cr_assert_not_null(strstr(error.message, "0004_expand"), "%s", error.message);

  // The one before that must not: neither 0003 nor 0004 says that it can run.
  cr_assert_eq(migrate_up(conninfo(), &two, &n, &error), STATUS_FAILED_PRECONDITION);
  cr_assert_eq(migrate_check(conninfo(), &two, &error), STATUS_FAILED_PRECONDITION);
  cr_assert_not_null(strstr(error.message, "migration 0003_third is applied and unknown to this release, whose last is "
                                           "0002; it says that only releases with 0003 or a later one can run"),
                     "%s", error.message);

  cr_assert_eq(migrate_up(conninfo(), &five, &n, &error), STATUS_OK, "%s", error.message);
  cr_assert_eq(migrate_up(conninfo(), &four, &n, &error), STATUS_OK, "%s", error.message);
  cr_assert_eq(migrate_check(conninfo(), &three, &error), STATUS_FAILED_PRECONDITION);
  cr_assert_not_null(strstr(error.message, "0005_contract"), "%s", error.message);
  cr_assert_eq(migrate_down(conninfo(), &five, 2, &n, &error), STATUS_OK, "%s", error.message);
  cr_assert_eq(migrate_check(conninfo(), &three, &error), STATUS_OK, "%s", error.message);
  cr_assert_eq(migrate_check(conninfo(), &four, &error), STATUS_UNAVAILABLE);
  cr_assert_not_null(strstr(error.message, "lacks 0004_expand"), "%s", error.message);
}

Test(migrate, a_release_runs_with_a_newer_schema_that_says_so)
{
  with_pg(check_roll_back);
}

// The list of a release that knew nothing of compatibility has no column for it.
static void check_old_list(struct world *world)
{
  struct error error = {0};
  size_t n;
  struct migration_set two = set_of(world, 2);
  struct migration_set three = set_of(world, 3);
  cr_assert_eq(migrate_up(conninfo(), &three, &n, &error), STATUS_OK, "%s", error.message);
  run_sql(world, "ALTER TABLE schema_migrations DROP compatible_from");
  cr_assert_eq(migrate_check(conninfo(), &three, &error), STATUS_OK, "%s", error.message);
  cr_assert_eq(migrate_check(conninfo(), &two, &error), STATUS_FAILED_PRECONDITION);
  cr_assert_eq(migrate_up(conninfo(), &three, &n, &error), STATUS_OK, "%s", error.message);
  cr_assert_null(run_sql(world, "SELECT max(compatible_from) FROM schema_migrations"));
}

Test(migrate, a_list_of_an_earlier_release_is_read)
{
  with_pg(check_old_list);
}

// ---- a table in use ----

struct migrator {
  const struct migration_set *set;
  enum status status;
  struct error error;
};

static void *migrate_in_thread(void *arg)
{
  struct migrator *migrator = arg;
  size_t n;
  migrator->status = migrate_up(conninfo(), migrator->set, &n, &migrator->error);
  return NULL;
}

static bool has_given_way(void *arg)
{
  (void)arg;
  return count_logged("gives way", "third") > 0;
}

static void check_table_in_use(struct world *world)
{
  struct error error = {0};
  size_t n;
  struct migration_set two = set_of(world, 2);
  struct migration_set three = set_of(world, 3);
  cr_assert_eq(migrate_up(conninfo(), &two, &n, &error), STATUS_OK, "%s", error.message);
  struct pg_tx *reader;
  struct pg_result result;
  const struct pg_statement *read = statement("SELECT id FROM a", PG_LANE_POINT);
  cr_assert_eq(pg_begin(world->pg, &reader), STATUS_OK);
  cr_assert_eq(pg_tx_query(reader, read, NULL, &world->arena, &result), STATUS_OK);
  capture_log();
  struct migrator migrator = {.set = &three};
  pthread_t thread;
  cr_assert_eq(pthread_create(&thread, NULL, migrate_in_thread, &migrator), 0);
  wait_until(has_given_way, NULL);
  // The open transaction holds up the migration, and the migration nobody.
  for (int i = 0; i < 50; i++) {
    cr_assert_eq(pg_query(world->pg, read, NULL, &world->arena, &result), STATUS_OK);
    run_sql(world, "UPDATE a SET id = id + 1");
  }
  pg_rollback(&reader);
  cr_assert_eq(pthread_join(thread, NULL), 0);
  cr_expect_eq(migrator.status, STATUS_OK, "%s", migrator.error.message);
  cr_expect_str_eq(run_sql(world, "SELECT max(version) FROM schema_migrations"), "3");
}

Test(migrate, a_migration_gives_way_to_who_uses_its_table)
{
  with_pg(check_table_in_use);
}

// The schema's default privileges let another role change its tables, as they let the role of a service.
static void check_rights(struct world *world)
{
  struct error error = {0};
  size_t n;
  struct migration_set set = set_of(world, 1);
  const char *role = arena_printf(&world->arena, "%s_role", world->schema);
  run_sql(world, arena_printf(&world->arena, "CREATE ROLE %s", role));
  run_sql(world,
          arena_printf(&world->arena, "ALTER DEFAULT PRIVILEGES IN SCHEMA %s GRANT SELECT, DELETE ON TABLES TO %s",
                       world->schema, role));
  cr_assert_eq(migrate_up(conninfo(), &set, &n, &error), STATUS_OK, "%s", error.message);
  cr_expect_str_eq(
      run_sql(world, arena_printf(&world->arena,
                                  "SELECT has_table_privilege('%s', 'a', 'DELETE')::text || '-' ||"
                                  " has_table_privilege('%s', 'schema_migrations', 'DELETE')::text || '-' ||"
                                  " has_table_privilege('%s', 'schema_migrations', 'SELECT')::text",
                                  role, role, role)),
      "true-false-true");
  run_sql(world, arena_printf(&world->arena, "DROP OWNED BY %s", role));
  run_sql(world, arena_printf(&world->arena, "DROP ROLE %s", role));
}

Test(migrate, only_the_owner_changes_the_list)
{
  with_pg(check_rights);
}

static void check_failure(struct world *world)
{
  struct error error = {0};
  size_t n;
  const struct migration bad[] = {MIGRATIONS[0],
                                  {.version = 2,
                                   .name = "bad",
                                   .up = SLICE_INIT("-- ü\nINSERT INTO a VALUES (5);\nSELECT *\nFROM no_such;"),
                                   .down = SLICE_INIT("")}};
  struct migration_set set = {.schema = world->schema, .migrations = bad, .count = 2};
  cr_assert_eq(migrate_up(conninfo(), &set, &n, &error), STATUS_INTERNAL);
  cr_assert_eq(n, 1);
  cr_assert_not_null(strstr(error.message, "0002_bad.up.sql:4: SQLSTATE 42P01: relation \"no_such\""), "%s",
                     error.message);
  cr_assert_str_eq(run_sql(world, "SELECT (SELECT count(*) FROM a) || '-' || max(version) FROM schema_migrations"),
                   "0-1");

  const struct migration sly[] = {MIGRATIONS[0],
                                  {.version = 2, .name = "sly", .up = SLICE_INIT("COMMIT"), .down = SLICE_INIT("")}};
  set.migrations = sly;
  cr_assert_eq(migrate_up(conninfo(), &set, &n, &error), STATUS_FAILED_PRECONDITION);
  cr_assert_str_eq(run_sql(world, "SELECT max(version) FROM schema_migrations"), "1");

  const struct migration gap[] = {MIGRATIONS[0], MIGRATIONS[2]};
  set.migrations = gap;
  cr_assert_eq(migrate_up(conninfo(), &set, &n, &error), STATUS_FAILED_PRECONDITION);
}

Test(migrate, a_failing_one_names_file_line_and_reason_and_leaves_nothing)
{
  with_pg(check_failure);
}

static void check_changed(struct world *world)
{
  struct error error = {0};
  struct strbuf out;
  size_t n;
  struct migration_set set = set_of(world, 2);
  cr_assert_eq(migrate_up(conninfo(), &set, &n, &error), STATUS_OK);
  struct migration edited[3];
  memcpy(edited, MIGRATIONS, sizeof(edited));
  edited[0].up = SLICE("CREATE TABLE a (id bigint);");
  set.migrations = edited;
  set.count = 3;
  cr_assert_eq(migrate_up(conninfo(), &set, &n, &error), STATUS_FAILED_PRECONDITION);
  cr_assert_not_null(strstr(error.message, "0001_first.up.sql"), "%s", error.message);
  cr_assert_eq(migrate_down(conninfo(), &set, 1, &n, &error), STATUS_FAILED_PRECONDITION);
  strbuf_init(&out, 0);
  cr_assert_eq(migrate_status(conninfo(), &set, &out, &error), STATUS_OK, "%s", error.message);
  const char *text = strbuf_cstring(&out);
  const char *second = strstr(text, "0002  second");
  cr_assert_not_null(second);
  const char *changed = strstr(text, "CHANGED");
  cr_assert(changed != NULL && changed < second, "%s", text);
  cr_assert_null(strstr(second, "CHANGED"), "%s", text);
  const char *third = strstr(text, "0003  third");
  cr_assert(third != NULL && strstr(third, "pending") != NULL, "%s", text);
  strbuf_free(&out);
}

Test(migrate, a_changed_file_is_refused_by_name)
{
  with_pg(check_changed);
}

static void check_edited(struct world *world)
{
  struct error error = {0};
  size_t n;
  struct migration_set set = set_of(world, 3);
  cr_assert_eq(migrate_up(conninfo(), &set, &n, &error), STATUS_OK);
  run_sql(world, "DELETE FROM schema_migrations WHERE version = 2");
  cr_assert_eq(migrate_up(conninfo(), &set, &n, &error), STATUS_FAILED_PRECONDITION);
  cr_assert_not_null(strstr(error.message, "0002"), "%s", error.message);
  cr_assert_eq(n, 0);
  cr_assert_eq(migrate_down(conninfo(), &set, 1, &n, &error), STATUS_FAILED_PRECONDITION);
  cr_assert_eq(n, 0);
}

Test(migrate, a_row_that_was_deleted_by_hand_is_missed)
{
  with_pg(check_edited);
}

// The server's own limit for statements does not end a migration.
static void check_slow(struct world *world)
{
  struct error error = {0};
  size_t n;
  const struct migration slow[] = {
      {.version = 1, .name = "slow", .up = SLICE_INIT("SELECT pg_sleep(0.2)"), .down = SLICE_INIT("")}};
  const struct migration_set set = {.schema = world->schema, .migrations = slow, .count = 1};
  const char *limited = arena_printf(&world->arena, "%s options='-c statement_timeout=50'", conninfo());
  cr_assert_eq(migrate_up(limited, &set, &n, &error), STATUS_OK, "%s", error.message);
  cr_assert_eq(n, 1);
}

Test(migrate, takes_the_time_that_it_needs)
{
  with_pg(check_slow);
}

struct racer {
  const struct migration_set *set;
  enum status status;
  size_t applied;
  struct error error;
};

static void *race(void *arg)
{
  struct racer *racer = arg;
  racer->status = migrate_up(conninfo(), racer->set, &racer->applied, &racer->error);
  return NULL;
}

static void check_race(struct world *world)
{
  enum { RACERS = 6 };
  struct racer racers[RACERS];
  pthread_t threads[RACERS];
  struct migration_set set = set_of(world, 3);
  size_t applied = 0;
  for (size_t i = 0; i < RACERS; i++) {
    racers[i] = (struct racer){.set = &set};
    cr_assert_eq(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
  }
  for (size_t i = 0; i < RACERS; i++) {
    pthread_join(threads[i], NULL);
    cr_assert_eq(racers[i].status, STATUS_OK, "%s", racers[i].error.message);
    applied += racers[i].applied;
  }
  cr_assert_eq(applied, 3, "each once");
}

Test(migrate, instances_that_start_together_wait_for_one_another)
{
  with_pg(check_race);
}

Test(migrate, no_server_and_no_sense_are_told_without_the_password)
{
  struct error error = {0};
  size_t n;
  struct migration_set set = {.schema = "s", .migrations = MIGRATIONS, .count = 1};
  cr_assert_eq(migrate_up("host=/nonexistent user=u password=s3cret", &set, &n, &error), STATUS_UNAVAILABLE);
  cr_assert_null(strstr(error.message, "s3cret"), "%s", error.message);
  cr_assert_eq(migrate_up("host=/nonexistent s3cret", &set, &n, &error), STATUS_INVALID_ARGUMENT);
  cr_assert_null(strstr(error.message, "s3cret"), "%s", error.message);
}
