#include "tests/support/service/database.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/codec.h"
#include "common/base/random.h"
#include "tests/support/common/service_keys.h"
#include "tests/support/environment.h"
#include "tests/support/service/driver.h"

#define PASSWORD "of-tests"
#define MAX_ENVIRONMENT 20

// Runs a program of PostgreSQL and returns its output; *code is its exit code.
static const char *run_program(struct database *database, const char *program, char *const *arguments, int *code)
{
  struct process process;
  process_prepare(&process);
  const char *path = arena_printf(&database->arena, "%s/%s", need_variable("BULKHEAD_PG_BIN"), program);
  process_launch(&process, path, arguments, NULL);
  *code = process_end(&process);
  const char *output = arena_string(&database->arena, strbuf_slice(&process.output));
  process_free(&process);
  return output;
}

// Runs a program of PostgreSQL, asserts that it succeeds, and returns its output.
static const char *run_checked(struct database *database, const char *program, char *const *arguments)
{
  int code = -1;
  const char *output = run_program(database, program, arguments, &code);
  cr_assert_eq(code, 0, "%s ended with %d: %s", program, code, output);
  return output;
}

static char *conninfo(struct database *database, const char *name, const char *user)
{
  // libpq uses the last value of a parameter that is given twice.
  return arena_printf(&database->arena, "%s dbname=%s user=%s password=" PASSWORD, need_variable("BULKHEAD_TEST_PG"),
                      name, user);
}

// The superuser's password comes from the file that BULKHEAD_TEST_PG names.
static char *super_conninfo(struct database *database, const char *name)
{
  return arena_printf(&database->arena, "%s dbname=%s", need_variable("BULKHEAD_TEST_PG"), name);
}

const char *database_of_superuser(struct database *database)
{
  return super_conninfo(database, database->name);
}

const char *database_of_service(struct database *database, const char *service)
{
  return conninfo(database, database->name, arena_printf(&database->arena, "bulkhead_%s", service));
}

const char *database_of_owner(struct database *database, const char *service)
{
  return conninfo(database, database->name, arena_printf(&database->arena, "bulkhead_%s_owner", service));
}

static void run_elsewhere(struct database *database, char *sql)
{
  run_checked(database, "psql", (char *[]){"psql", "-XqAt", "-c", sql, super_conninfo(database, "postgres"), NULL});
}

// Roles belong to the whole server, so tests that run side by side take turns.
void database_prepare(struct database *database, const char *service)
{
  int lock = open(need_variable("BULKHEAD_PG_BIN"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  cr_assert_eq(flock(lock, LOCK_EX), 0);
  run_checked(database, "psql",
              (char *[]){"psql", "-Xq", "-v", arena_printf(&database->arena, "service=%s", service), "-v",
                         "password=" PASSWORD, "-v", "owner_password=" PASSWORD, "-f", "deploy/postgres/bootstrap.sql",
                         super_conninfo(database, database->name), NULL});
  close(lock);
}

void database_create(struct database *database, const char *const *services)
{
  unsigned char bytes[6];
  arena_init(&database->arena);
  random_bytes(bytes, sizeof(bytes));
  char digits[2 * sizeof(bytes) + 1] = "";
  hex_encode(bytes, sizeof(bytes), digits);
  snprintf(database->name, sizeof(database->name), "test_%s", digits);
  run_elsewhere(database, arena_printf(&database->arena, "CREATE DATABASE %s", database->name));
  for (size_t i = 0; services[i] != NULL; i++)
    database_prepare(database, services[i]);
}

void database_drop(struct database *database)
{
  run_elsewhere(database, arena_printf(&database->arena, "DROP DATABASE %s WITH (FORCE)", database->name));
  arena_free(&database->arena);
}

const char *database_sql(struct database *database, const char *format, ...)
{
  va_list args;
  va_start(args, format);
  char *sql = arena_vprintf(&database->arena, format, args);
  va_end(args);
  char *output = (char *)(uintptr_t)run_checked(
      database, "psql", (char *[]){"psql", "-XqAt", "-c", sql, super_conninfo(database, database->name), NULL});
  size_t size = strlen(output);
  if (size > 0 && output[size - 1] == '\n')
    output[size - 1] = '\0';
  return output;
}

void database_wait_sql(struct database *database, const char *query, const char *expected)
{
  uint64_t end_us = patience_end_us();
  const char *found;
  while (strcmp(found = database_sql(database, "%s", query), expected) != 0) {
    cr_assert_lt(clock_now_us(), end_us, "%s stays %s, %s was waited for", query, found, expected);
    poll(NULL, 0, 20);
  }
}

const char *database_refusal(struct database *database, const char *service, const char *sql)
{
  int code = -1;
  const char *output = run_program(database, "psql",
                                   (char *[]){"psql", "-XqAt", "-c", (char *)(uintptr_t)sql,
                                              (char *)(uintptr_t)database_of_service(database, service), NULL},
                                   &code);
  cr_assert_neq(code, 0, "%s may do this: %s", service, sql);
  return output;
}

// Removes two lines of a dump, into which newer versions of pg_dump write a random word.
static const char *without_restrict(struct database *database, const char *dump)
{
  struct strbuf kept;
  strbuf_init(&kept, 0);
  while (*dump != '\0') {
    size_t size = strcspn(dump, "\n");
    size += dump[size] == '\n';
    if (strncmp(dump, "\\restrict", 9) != 0 && strncmp(dump, "\\unrestrict", 11) != 0)
      strbuf_add(&kept, slice_make(dump, size));
    dump += size;
  }
  const char *result = arena_string(&database->arena, strbuf_slice(&kept));
  strbuf_free(&kept);
  return result;
}

const char *database_schema(struct database *database, const char *service)
{
  const char *dump = run_checked(database, "pg_dump",
                                 (char *[]){"pg_dump", "-s", "-n", (char *)(uintptr_t)service, "-d",
                                            super_conninfo(database, database->name), NULL});
  return without_restrict(database, dump);
}

void service_launch(struct process *process, struct database *database, const char *service, const char *peers,
                    char *const *arguments, const char *const *environment)
{
  struct arena *arena = &database->arena;
  const char *all[MAX_ENVIRONMENT + 1] = {
      arena_printf(arena, "PG_CONNINFO=%s", database_of_service(database, service)),
      arena_printf(arena, "PG_MIGRATE_CONNINFO=%s", database_of_owner(database, service)),
      arena_printf(arena, "RPC_LISTEN=%s", process->url),
      arena_printf(arena, "RPC_STATIC=%s", peers == NULL ? "" : peers),
      arena_printf(arena, "SERVICE_KEY=%s", service_keys_private()),
      arena_printf(arena, "SERVICE_KEYS=%s", service_keys_public(service)),
      arena_printf(arena, "TOKEN_KEYS=%s", service_keys_public(service)),
  };
  size_t count = 7;
  driver_know(process->url, service);
  for (size_t i = 0; environment != NULL && environment[i] != NULL; i++) {
    cr_assert_lt(count, MAX_ENVIRONMENT);
    all[count++] = environment[i];
  }
  char *serve[] = {(char *)(uintptr_t)service, NULL};
  process_launch(process, arena_printf(arena, "%s/%s", need_variable("BULKHEAD_BIN"), service),
                 arguments == NULL ? serve : arguments, all);
}

int service_run(struct process *process, struct database *database, const char *service, const char *peers,
                char *const *arguments, const char *const *environment)
{
  process_prepare(process);
  service_launch(process, database, service, peers, arguments, environment);
  return process_end(process);
}
