// What holds for the schema of every service, checked with its real binary. `environment`: what it needs to start.
#ifndef BULKHEAD_TESTS_SUPPORT_SERVICE_SCHEMA_CHECKS_H
#define BULKHEAD_TESTS_SUPPORT_SERVICE_SCHEMA_CHECKS_H

// Up, all down, up again: the second time leaves what the first did.
void check_migrations_go_both_ways(const char *service, const char *const *environment);
// Instances that start together with MIGRATE_ON_START.
void check_instances_migrate_together(const char *service, const char *const *environment);
// The roles of the other services read none of its tables, of which `table` is one, and its own changes nothing beside.
void check_schema_is_private(const char *service, const char *table, const char *const *environment);

#endif
