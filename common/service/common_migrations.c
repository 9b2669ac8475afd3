#include "common/service/common_migrations_internal.h"

// Made by the build from common/service/migrations.
extern const struct migration_set common_migrations;

// Returns the migrations of every service, for the schema of this one.
static struct migration_set common_set(const struct migration_set *own)
{
  struct migration_set set = common_migrations;
  set.schema = own->schema;
  set.table = "common_migrations";
  return set;
}

enum status migrations_up(const char *conninfo, const struct migration_set *own, size_t *applied, struct error *error)
{
  const struct migration_set common = common_set(own);
  size_t first = 0;
  size_t second = 0;
  enum status status = migrate_up(conninfo, &common, &first, error);
  if (status == STATUS_OK)
    status = migrate_up(conninfo, own, &second, error);
  *applied = first + second;
  return status;
}

enum status migrations_check(const char *conninfo, const struct migration_set *own, struct error *error)
{
  const struct migration_set common = common_set(own);
  enum status status = migrate_check(conninfo, &common, error);
  return status == STATUS_OK ? migrate_check(conninfo, own, error) : status;
}

enum status migrations_down(const char *conninfo, const struct migration_set *own, size_t steps, size_t *reverted,
                            struct error *error)
{
  const struct migration_set common = common_set(own);
  size_t first = 0;
  size_t second = 0;
  enum status status = migrate_down(conninfo, own, steps, &first, error);
  if (status == STATUS_OK && first < steps)
    status = migrate_down(conninfo, &common, steps - first, &second, error);
  *reverted = first + second;
  return status;
}

enum status migrations_status(const char *conninfo, const struct migration_set *own, struct strbuf *out,
                              struct error *error)
{
  const struct migration_set common = common_set(own);
  strbuf_add_string(out, "of every service:\n");
  enum status status = migrate_status(conninfo, &common, out, error);
  strbuf_add_string(out, "of this service:\n");
  return status == STATUS_OK ? migrate_status(conninfo, own, out, error) : status;
}
