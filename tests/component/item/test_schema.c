// The item service's part of the database.
#include <criterion/criterion.h>

#include "tests/support/service/schema_checks.h"

Test(item_schema, migrations_go_both_ways)
{
  check_migrations_go_both_ways("item", NULL);
}

Test(item_schema, instances_migrate_together)
{
  check_instances_migrate_together("item", NULL);
}

Test(item_schema, of_an_earlier_version_is_handed_over_to_its_owner)
{
  check_earlier_schema_is_handed_over("item", "items", NULL);
}

Test(item_schema, is_private)
{
  check_schema_is_private("item", "items", NULL);
}
