// Shared by the tests of storage: a loop with a task in it, a schema and a key prefix for each test, private servers.
#ifndef BULKHEAD_TESTS_COMPONENT_STORAGE_SUPPORT_H
#define BULKHEAD_TESTS_COMPONENT_STORAGE_SUPPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/arena.h"
#include "common/base/slice.h"
#include "common/base/status.h"
#include "common/runtime/loop.h"
#include "common/runtime/task.h"
#include "common/storage/pg.h"
#include "common/storage/redis.h"

#define TEST_DEADLINE_MS 30000

struct world {
  struct loop *loop;
  struct arena arena;  // freed at the end
  char schema[32];     // also the prefix of keys and names
  char *conninfo;      // of BULKHEAD_TEST_PG, with the schema as search_path
  struct pg *pg;       // NULL unless the test asked for it
  void (*body)(struct world *world);
  void *extra;
};

// Runs `body` as a task, with a deadline; the test ends with it. The schema is made before and dropped after. The
// sessions have its name as application_name, unless the options say another.
void with_pg(void (*body)(struct world *world));
void with_pg_options(struct pg_options options, void (*body)(struct world *world));
// Runs `body` as with_pg does, but without PostgreSQL.
void with_loop(void (*body)(struct world *world));
const char *redis_url(void);

// Makes a statement with a unique name. It is never freed.
const struct pg_statement *statement(const char *sql, enum pg_lane lane);
// Returns a cell as a C string; NULL for SQL NULL.
const char *cell_text(const struct pg_result *result, size_t row, size_t column);
// Runs a statement without parameters and expects OK. Returns the first cell, or NULL.
const char *run_sql(struct world *world, const char *sql);
// Runs a statement without parameters. Returns its status.
enum status run_status(struct world *world, const char *sql);

// Tasks that a test starts and waits for: crew_start runs `run(arg)` as a task, crew_join waits until all have
// returned.
struct crew {
  struct world *world;
  size_t running;
  struct completion *idle;
};
void crew_start(struct crew *crew, void (*run)(void *arg), void *arg);
void crew_finished(struct crew *crew);  // the last thing that `run` does
void crew_join(struct crew *crew);

// A statement that a task of its own runs.
struct ask {
  struct crew *crew;
  const struct pg_statement *statement;
  const char *text;  // the parameter, or NULL for none
  struct pg_result result;
  enum status status;
};
void ask(void *arg);  // a struct ask, for crew_start
// Runs all of them in one turn of the loop, and waits until all have ended.
void ask_all(struct world *world, struct ask *asks, size_t count);

// Lets tasks and sockets run until `holds(arg)`. The test fails at its deadline.
void wait_until(bool (*holds)(void *arg), void *arg);

// Captures what the process logs from here on; count_logged then counts the lines that contain each of two texts (NULL
// for any), and fails the test when the password "s3cret" was logged.
void capture_log(void);
size_t count_logged(const char *text, const char *other);

// A private server in a temporary folder, on a unix socket.
struct server {
  char folder[64];
  int pid;
};
void redis_start(struct server *server);
void redis_kill(struct server *server);  // to be started again
void redis_stop(struct server *server);
const char *redis_server_url(struct world *world, const struct server *server);
void postgres_start(struct server *server);
void postgres_restart(struct server *server, bool immediate);
// Sends a signal to the server and to all of its processes.
void postgres_signal(const struct server *server, int number);
void postgres_stop(struct server *server);

#endif
