// For the tests of pg_change_row: a table, a statement that changes one row of it, and tasks that run it.
#ifndef BULKHEAD_TESTS_COMPONENT_STORAGE_CHANGE_RIG_H
#define BULKHEAD_TESTS_COMPONENT_STORAGE_CHANGE_RIG_H

#include "tests/component/storage/support.h"

// Sets the value of a row.
struct put {
  struct crew *crew;
  const struct pg_statement *statement;
  const char *id;
  const char *value;
  const char *revision;  // that the row must have; NULL fits any
  uint64_t patience_ms;  // 0: the test's
  uint64_t caller;
  struct arena arena;
  struct pg_result result;
  enum status status;
  enum task_effect effect;
  size_t rank;  // how many had ended before it, of those that share `ended`
  size_t *ended;
  bool done;
};
void put(void *arg);  // a struct put, for crew_start
void start_puts(struct crew *crew, struct put *puts, size_t count);
// Runs all of them in one turn of the loop, and waits until all have ended.
void put_all(struct world *world, struct put *puts, size_t count);
void free_puts(struct put *puts, size_t count);

// Makes the table `t` with 1,000 rows, each with its id as value and revision 1.
void make_put_table(struct world *world);
// Makes the table, and opens the connections that a batch needs.
void warm_up(struct world *world);
// The statement's parts. Its alias `v` holds the changes, each with its place.
#define PUT_UPDATE                                                                                                     \
  "UPDATE t SET value = v.new_value::int, revision = t.revision + 1"                                                   \
  " FROM unnest($1::int[], $2::text[], $3::int[]) WITH ORDINALITY AS v(key, new_value, old, place)"
#define PUT_WHERE " WHERE id = v.key AND t.revision = coalesce(v.old, t.revision)"
// Makes a statement that sets the value of a row, adds one to its revision, and gives id and value.
const struct pg_statement *put_statement(void);
// Makes a statement like put_statement's, which waits for a row in the table `go` if it changes more than one row.
const struct pg_statement *held_put_statement(void);
// Waits until a statement of held_put_statement is held up in the server.
void await_held(struct world *world);

// Expects that the change was made, and that its row was given.
void expect_own_row(const struct put *put);
// Returns value and revision of a row: "7 1".
const char *stored_row(struct world *world, const char *id);
// Returns how many executions of the statement have ended with `status`.
int64_t times_sent(const struct pg_statement *statement, enum status status);

#endif
