#include "tests/support/service/schema_checks.h"

#include <criterion/criterion.h>
#include <glob.h>
#include <string.h>

#include "tests/support/service/database.h"

static void migrate(struct database *database, const char *service, const char *const *environment, char *direction,
                    char *steps)
{
  struct process process;
  char *arguments[] = {"service", "migrate", direction, steps, NULL};
  int code = service_run(&process, database, service, NULL, arguments, environment);
  cr_assert_eq(code, 0, "migrate %s ended with %d: %s", direction, code, strbuf_cstring(&process.output));
  process_free(&process);
}

static const char *count_tables(struct database *database, const char *service)
{
  return database_sql(database,
                      "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
                      " WHERE nspname = '%s' AND relkind = 'r'",
                      service);
}

static const char *count_functions(struct database *database, const char *service)
{
  return database_sql(database,
                      "SELECT count(*) FROM pg_proc JOIN pg_namespace n ON n.oid = pronamespace"
                      " WHERE nspname = '%s'",
                      service);
}

void check_migrations_go_both_ways(const char *service, const char *const *environment)
{
  struct database database;
  database_create(&database, (const char *const[]){service, NULL});
  migrate(&database, service, environment, "up", NULL);
  const char *first = database_schema(&database, service);
  cr_expect_not_null(strstr(first, "CREATE TABLE"));
  migrate(&database, service, environment, "down", "9999");
  // The two tables left are the lists of migrations: those of every service and its own.
  cr_expect_str_eq(count_tables(&database, service), "2");
  cr_expect_str_eq(count_functions(&database, service), "0");
  migrate(&database, service, environment, "up", NULL);
  cr_expect_str_eq(database_schema(&database, service), first);
  database_drop(&database);
}

void check_instances_migrate_together(const char *service, const char *const *environment)
{
  enum { INSTANCES = 3 };
  const char *with_migrations[8] = {"MIGRATE_ON_START=true"};
  for (size_t i = 0; environment != NULL && environment[i] != NULL; i++)
    with_migrations[i + 1] = environment[i];
  struct database database;
  struct process processes[INSTANCES];
  database_create(&database, (const char *const[]){service, NULL});
  for (size_t i = 0; i < INSTANCES; i++) {
    process_prepare(&processes[i]);
    service_launch(&processes[i], &database, service, NULL, NULL, with_migrations);
  }
  for (size_t i = 0; i < INSTANCES; i++)
    process_wait_ready(&processes[i]);
  cr_expect_str_eq(database_sql(&database,
                                "SELECT count(*) = count(DISTINCT version) AND count(*) > 0"
                                " FROM \"%s\".schema_migrations",
                                service),
                   "t");
  for (size_t i = 0; i < INSTANCES; i++) {
    cr_expect_eq(process_stop(&processes[i]), 0, "%s", strbuf_cstring(&processes[i].output));
    process_free(&processes[i]);
  }
  database_drop(&database);
}

static void expect_denied(struct database *database, const char *role, const char *sql)
{
  const char *refusal = database_refusal(database, role, sql);
  cr_expect(strstr(refusal, "permission denied ") != NULL || strstr(refusal, "must be owner of") != NULL, "%s: %s", sql,
            refusal);
}

static void expect_no_definitions(struct database *database, const char *service, const char *table)
{
  struct arena *arena = &database->arena;
  expect_denied(database, service, arena_printf(arena, "CREATE TABLE \"%s\".anything ()", service));
  expect_denied(database, service, "CREATE TEMP TABLE anything ()");
  expect_denied(database, service, arena_printf(arena, "CREATE FUNCTION \"%s\".f() RETURNS int RETURN 1", service));
  expect_denied(database, service, arena_printf(arena, "ALTER TABLE \"%s\".%s ADD anything text", service, table));
  expect_denied(database, service, arena_printf(arena, "DROP TABLE \"%s\".%s", service, table));
  expect_denied(database, service, arena_printf(arena, "TRUNCATE \"%s\".%s", service, table));
}

// Lists the services, which are the folders with a main.c, as in the Makefile. Ends with NULL.
static const char *const *all_services(struct arena *arena)
{
  glob_t found;
  cr_assert_eq(glob("services/*/main.c", 0, NULL, &found), 0, "run the tests where the tree begins");
  const char **services = arena_array(arena, found.gl_pathc + 1, sizeof(*services));
  for (size_t i = 0; i < found.gl_pathc; i++) {
    struct slice name = slice_skip(slice_from_string(found.gl_pathv[i]), strlen("services/"));
    services[i] = arena_string(arena, slice_make(name.data, slice_find(name, '/', 0)));
  }
  services[found.gl_pathc] = NULL;
  globfree(&found);
  return services;
}

void check_schema_is_private(const char *service, const char *table, const char *const *environment)
{
  struct arena names = {0};
  const char *const *services = all_services(&names);
  struct database database;
  database_create(&database, services);
  migrate(&database, service, environment, "up", NULL);
  const char *select = arena_printf(&database.arena, "SELECT * FROM \"%s\".%s", service, table);
  database_sql(&database, "%s", select);
  for (size_t i = 0; services[i] != NULL; i++) {
    if (strcmp(services[i], service) == 0)
      continue;
    expect_denied(&database, services[i], select);
    expect_denied(&database, services[i], arena_printf(&database.arena, "DROP TABLE \"%s\".%s", service, table));
  }
  expect_no_definitions(&database, service, table);
  expect_denied(&database, service, "CREATE TABLE public.anything ()");
  expect_denied(&database, service, "CREATE SCHEMA anything");
  expect_denied(&database, service, "CREATE ROLE anything");
  database_drop(&database);
  arena_free(&names);
}

void check_earlier_schema_is_handed_over(const char *service, const char *table, const char *const *environment)
{
  struct database database;
  database_create(&database, (const char *const[]){service, NULL});
  migrate(&database, service, environment, "up", NULL);
  database_sql(&database, "REASSIGN OWNED BY bulkhead_%s_owner TO bulkhead_%s", service, service);
  const char *alter = arena_printf(&database.arena, "ALTER TABLE \"%s\".%s SET (fillfactor = 99)", service, table);
  database_sql(&database, "SET ROLE bulkhead_%s; %s", service, alter);
  database_prepare(&database, service);
  expect_denied(&database, service, alter);
  expect_no_definitions(&database, service, table);
  database_sql(&database, "SET ROLE bulkhead_%s_owner; %s", service, alter);
  database_sql(&database, "SET ROLE bulkhead_%s; SELECT * FROM \"%s\".%s; DELETE FROM \"%s\".%s", service, service,
               table, service, table);
  migrate(&database, service, environment, "up", NULL);
  database_drop(&database);
}
