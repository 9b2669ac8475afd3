// The auth service's part of the database.
#include <criterion/criterion.h>

#include "tests/support/service/database.h"
#include "tests/support/service/schema_checks.h"

#define ROBOT "01936b5e-7c1a-7d3e-9f00-00000000b071"

static const char *const environment[] = {"AUTH_KEY_SECRET=0123456789abcdef0123456789abcdef", NULL};

Test(auth_schema, migrations_go_both_ways)
{
  check_migrations_go_both_ways("auth", environment);
}

static void migrate(struct database *database, char *direction, char *steps)
{
  struct process process;
  char *arguments[] = {"auth", "migrate", direction, steps, NULL};
  cr_assert_eq(service_run(&process, database, "auth", NULL, arguments, environment), 0, "%s",
               strbuf_cstring(&process.output));
  process_free(&process);
}

// Access tokens of what a release before does not know are signed still.
Test(auth_schema, the_way_down_ends_the_tokens_of_service_accounts)
{
  struct database database;
  database_create(&database, (const char *const[]){"auth", NULL});
  migrate(&database, "up", NULL);
  (void)database_sql(&database, "INSERT INTO auth.credentials (user_id, is_service) VALUES ('%s', true)", ROBOT);
  const char *steps = database_sql(&database, "SELECT count(*) FROM auth.schema_migrations WHERE version >= 16");
  migrate(&database, "down", arena_string(&database.arena, slice_from_string(steps)));
  cr_expect_str_eq(database_sql(&database, "SELECT count(*) FROM auth.credentials"), "0");
  cr_expect_str_eq(
      database_sql(&database, "SELECT count(*) FROM auth.endings WHERE user_id = '%s' AND generation > 1000000", ROBOT),
      "1");
  database_drop(&database);
}

Test(auth_schema, instances_migrate_together)
{
  check_instances_migrate_together("auth", environment);
}

Test(auth_schema, is_private)
{
  check_schema_is_private("auth", "credentials", environment);
}
