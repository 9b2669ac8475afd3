// The user service's part of the database.
#include <criterion/criterion.h>

#include "tests/support/service/schema_checks.h"

Test(user_schema, migrations_go_both_ways)
{
  check_migrations_go_both_ways("user", NULL);
}

Test(user_schema, instances_migrate_together)
{
  check_instances_migrate_together("user", NULL);
}

Test(user_schema, is_private)
{
  check_schema_is_private("user", "users", NULL);
}
