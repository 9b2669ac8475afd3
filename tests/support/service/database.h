// Makes a database of the test's own on the server of tests/with-servers, set up as deploy/postgres/bootstrap.sql does
// it, and services that work on it. Everything returned lives in the database's arena.
#ifndef BULKHEAD_TESTS_SUPPORT_SERVICE_DATABASE_H
#define BULKHEAD_TESTS_SUPPORT_SERVICE_DATABASE_H

#include "common/base/arena.h"
#include "tests/support/service/process.h"

struct database {
  struct arena arena;
  char name[32];
};

// Makes the database with the role and the schema of each service; `services` ends with NULL.
void database_create(struct database *database, const char *const *services);
// Makes the roles and the schema of a service, or mends what is there of them.
void database_prepare(struct database *database, const char *service);
void database_drop(struct database *database);

// Return connection strings: of a service's role, of the role that owns its schema, and of the superuser.
const char *database_of_service(struct database *database, const char *service);
const char *database_of_owner(struct database *database, const char *service);
const char *database_of_superuser(struct database *database);

// Runs one query as the superuser and returns what psql -At prints; asserts success.
const char *database_sql(struct database *database, const char *format, ...) PRINTF_LIKE(2, 3);
// Runs a query as the service's role, asserts that it fails, and returns what psql says.
const char *database_refusal(struct database *database, const char *service, const char *sql);
// Returns the definition of a service's schema, as pg_dump writes it.
const char *database_schema(struct database *database, const char *service);

// Starts a service's binary ($BULKHEAD_BIN/<service>) as the process that was prepared, with its role, taking calls at
// the process's url. `peers` is the value of RPC_STATIC, or NULL. Settings in `environment` replace those set here.
void service_launch(struct process *process, struct database *database, const char *service, const char *peers,
                    char *const *arguments, const char *const *environment);
// Runs a command of a service to its end and returns its exit code. The caller frees the process.
int service_run(struct process *process, struct database *database, const char *service, const char *peers,
                char *const *arguments, const char *const *environment);
// Repeats a query as the superuser until it gives `expected`; fails the test after a minute.
void database_wait_sql(struct database *database, const char *query, const char *expected);

#endif
