// The migrations of a service: first those that every service has (common/service/migrations), then its own. What was
// applied of the former is listed in <schema>.common_migrations, so that both are numbered for themselves.
#ifndef BULKHEAD_SERVICE_COMMON_MIGRATIONS_INTERNAL_H
#define BULKHEAD_SERVICE_COMMON_MIGRATIONS_INTERNAL_H

#include "common/storage/migrate.h"

// The functions below block and do what migrate.h says of the function that begins with "migrate". `own` are the
// service's own migrations.
enum status migrations_up(const char *conninfo, const struct migration_set *own, size_t *applied,
                          struct error *error) MUST_CHECK;
enum status migrations_check(const char *conninfo, const struct migration_set *own, struct error *error) MUST_CHECK;
// Reverts the service's own migrations first.
enum status migrations_down(const char *conninfo, const struct migration_set *own, size_t steps, size_t *reverted,
                            struct error *error) MUST_CHECK;
enum status migrations_status(const char *conninfo, const struct migration_set *own, struct strbuf *out,
                              struct error *error) MUST_CHECK;

#endif
