// Checks the schema of a service, made with its real binary. Every service must pass them. `environment` is what the
// service needs to start.
#ifndef BULKHEAD_TESTS_SUPPORT_SERVICE_SCHEMA_CHECKS_H
#define BULKHEAD_TESTS_SUPPORT_SERVICE_SCHEMA_CHECKS_H

// Migrates up, all down and up again: the schema must be the same as after the first time.
void check_migrations_go_both_ways(const char *service, const char *const *environment);
// Starts several instances together with MIGRATE_ON_START: each migration must run once.
void check_instances_migrate_together(const char *service, const char *const *environment);
// The roles of other services must not read its tables, of which `table` is one. Its own role must change rows only,
// and nothing outside its schema.
void check_schema_is_private(const char *service, const char *table, const char *const *environment);
// A schema that the service's own role owns, as in earlier versions, gets its owner, and the service goes on working.
void check_earlier_schema_is_handed_over(const char *service, const char *table, const char *const *environment);

#endif
