// PostgreSQL for tasks: libpq in pipeline mode. All functions are called from tasks and wait without blocking the loop.
//
// Single statements of all tasks share a few pipelined connections; each is its own implicit transaction, so an error
// or roll-back never touches another caller's work. A transaction, and a statement declared `exclusive`, borrows a
// connection of its own; when its task's deadline passes, it is cancelled in the server (on a shared connection a
// cancel could hit somebody else's statement; those are bounded by the session's statement_timeout). SQLSTATE becomes a
// status here: 23505 ALREADY_EXISTS, 23503 and 23514 FAILED_PRECONDITION, 40001/40P01/55P03 ABORTED, 57014
// DEADLINE_EXCEEDED, class 08, 53, 57P0x UNAVAILABLE, 22 INVALID_ARGUMENT, the rest INTERNAL (logged with SQLSTATE and
// statement name).
//
// A statement that was sent when its connection broke ends with UNAVAILABLE: it may or may not have been applied; a
// read-only one is sent once more instead. One that was not yet sent waits for a connection, while the server is away
// for half of the time that its task has left and 2 s at most: then it is UNAVAILABLE, and there is time to say so.
#ifndef BULKHEAD_STORAGE_PG_H
#define BULKHEAD_STORAGE_PG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/slice.h"
#include "common/base/status.h"
#include "common/runtime/loop.h"

struct pg;
struct pg_tx;

struct pg_options {
  const char *conninfo;           // libpq connection string or URI; holds the password: never logged
  size_t shared_connections;      // pipelined, for single statements; 0: 2
  size_t max_exclusive;           // for transactions and exclusive statements; 0: 8
  uint32_t statement_timeout_ms;  // of the session; 0: 5,000
  const char *application_name;
};

// Connects in the background and keeps reconnecting with back-off and jitter. A host name is looked up anew each time,
// without holding up the loop; but of several hosts libpq takes care itself, and looks their names up in place.
struct pg *pg_create(struct loop *loop, const struct pg_options *options);
// No statement may be under way (CHECK).
void pg_free(struct pg **pg);
// A shared connection is up.
bool pg_ready(const struct pg *pg);
// Waits until then or the deadline.
enum status pg_wait_ready(struct pg *pg) MUST_CHECK;

// Declared once, static; prepared on a connection at first use there.
struct pg_statement {
  const char *name;  // of the metric and of the prepared statement: "item_get"
  const char *sql;   // parameters $1 ...
  bool exclusive;    // may take long: on a connection of its own, cancelled when overdue
  bool read_only;  // a SELECT without side effects: may share an implicit transaction with its neighbours, and is sent
                   // again when a neighbour's error aborted it
};

#define PG_MAX_PARAMS 24
struct pg_params {
  size_t count;
  const char *values[PG_MAX_PARAMS];
  int lengths[PG_MAX_PARAMS];
  int formats[PG_MAX_PARAMS];     // 0 text, 1 binary
  unsigned types[PG_MAX_PARAMS];  // 0: PostgreSQL infers
  struct arena *arena;
};
// In the order $1, $2, ... Texts must be UTF-8 without zero bytes (CHECK on zero bytes: validation comes before); the
// values are copied into the arena where they are not terminated.
void pg_params_init(struct pg_params *params, struct arena *arena);
void pg_add_text(struct pg_params *params, const char *text);    // NULL is SQL NULL
void pg_add_slice(struct pg_params *params, struct slice text);  // .data NULL is SQL NULL
void pg_add_int(struct pg_params *params, int64_t value);
void pg_add_bool(struct pg_params *params, bool value);
void pg_add_bytes(struct pg_params *params, struct slice bytes);  // bytea
// text[]: a NULL item becomes an SQL NULL in the array.
void pg_add_text_array(struct pg_params *params, const char *const *items, size_t count);
void pg_add_int_array(struct pg_params *params, const int64_t *items, size_t count);  // bigint[]

// Rows live in the arena given to the call.
struct pg_result {
  size_t rows;
  size_t columns;
  int64_t affected;           // of INSERT, UPDATE, DELETE
  const struct slice *cells;  // rows * columns, text format, terminated; data NULL is SQL NULL
  // When the status was not OK: for mapping to the caller's fields. Empty where the server said none.
  struct slice constraint;  // "items_owner_sku_key"
  struct slice sqlstate;
};
// CHECK on the position; NULL for SQL NULL.
const char *pg_text(const struct pg_result *result, size_t row, size_t column);
struct slice pg_slice(const struct pg_result *result, size_t row, size_t column);
bool pg_is_null(const struct pg_result *result, size_t row, size_t column);
int64_t pg_int(const struct pg_result *result, size_t row, size_t column);  // CHECK that it is a number
bool pg_bool(const struct pg_result *result, size_t row, size_t column);
// text[] in text format into terminated strings in the arena.
enum status pg_text_array(const struct pg_result *result, size_t row, size_t column, struct arena *arena, char ***items,
                          size_t *count) MUST_CHECK;

// One statement. `result` is filled in both cases (constraint and sqlstate when it failed); must not be NULL.
enum status pg_query(struct pg *pg, const struct pg_statement *statement, const struct pg_params *params,
                     struct arena *arena, struct pg_result *result) MUST_CHECK;

// One row, or none, by its key. What all tasks ask for by the same statement in one turn of the loop is sent as one:
// use it for the reads that many callers make at a time. `statement` is read-only; its one parameter is an array of
// keys, and its last column says in which place of it (from 1) the row's key stands, which `result` leaves out:
//   SELECT t.name, t.size, k.place FROM unnest($1::uuid[]) WITH ORDINALITY AS k(key, place) JOIN t ON t.id = k.key
// An error that one of the keys may have caused is told to its own caller only. `result` says nothing of errors.
enum status pg_query_row(struct pg *pg, const struct pg_statement *statement, const char *key, struct arena *arena,
                         struct pg_result *result) MUST_CHECK;

// A transaction (READ COMMITTED). After an error only pg_rollback is left. A commit whose connection breaks returns
// UNAVAILABLE with its outcome unknown. pg_rollback accepts NULL and finished transactions, so it serves as the one
// clean-up.
enum status pg_begin(struct pg *pg, struct pg_tx **tx) MUST_CHECK;
enum status pg_tx_query(struct pg_tx *tx, const struct pg_statement *statement, const struct pg_params *params,
                        struct arena *arena, struct pg_result *result) MUST_CHECK;
enum status pg_commit(struct pg_tx **tx) MUST_CHECK;
void pg_rollback(struct pg_tx **tx);

#endif
