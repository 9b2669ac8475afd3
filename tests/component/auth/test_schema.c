// The auth service's part of the database.
#include <criterion/criterion.h>

#include "tests/support/service/schema_checks.h"

static const char *const environment[] = {"AUTH_KEY_SECRET=0123456789abcdef0123456789abcdef", NULL};

Test(auth_schema, migrations_go_both_ways)
{
  check_migrations_go_both_ways("auth", environment);
}

Test(auth_schema, instances_migrate_together)
{
  check_instances_migrate_together("auth", environment);
}

Test(auth_schema, is_private)
{
  check_schema_is_private("auth", "credentials", environment);
}
