// PostgreSQL for tasks, on libpq's pipeline mode. Every function is called from a task and waits without blocking the
// loop.
//
// Each statement has its lane (enum pg_lane), so that nothing waits behind what it is unlike:
// - Point reads share a few pipelined connections, which carry nothing else.
// - Writes and transactions borrow a connection from a pool and have it to themselves.
// - Gathered changes (pg_change_row) have two connections of their own.
// - Lists, searches and everything long that only reads have a pool of their own.
//
// Every single statement is an implicit transaction, so one caller's error never touches another caller's work. Tasks
// that wait for a connection of a pool are served by turns between their callers (task_set_caller), and one caller has
// three quarters of a pool at most. What would wait for too long (common/base/queue_limit.h), or longer than its task
// has time, is refused with RESOURCE_EXHAUSTED at once: statements of the pools and gathered changes, unless they work
// for no caller or are repeated because of a lock, and rows by their keys. So is a list whose reply would not be taken
// now (task_set_wanted). Where that is because of all callers together, and not of what the caller has in the queue
// already, it is noted (task_note_full).
//
// No statement is sent after its task's deadline. One that is in flight when its answer may be waited for no longer
// (task_answer_deadline_us), or when its task is cancelled, is cancelled in the server at once, wherever it runs. A
// read of another task that this hits is repeated unseen. The task of a write waits up to 300 ms longer for what has
// really happened: OK means that it was made all the same. The same holds for a COMMIT, which is never cancelled. The
// task's effect (task_effect) says whether a write that failed was certainly not made.
//
// Sessions have a short lock_timeout. A single statement, or the first one of a transaction, that cannot have a lock
// (55P03) or that is the victim of a deadlock (40P01) gives its connection back, pauses, and is repeated until the
// task's deadline (statement_timeout where the task has none). A later statement of a transaction is not repeated,
// because what came before it is lost: it is ABORTED, and the whole transaction may be repeated.
//
// SQLSTATE becomes a status: 23505 ALREADY_EXISTS; 23503 and 23514 FAILED_PRECONDITION; 40001, 40P01 and 55P03 ABORTED;
// 57014 DEADLINE_EXCEEDED; class 08, class 53 and 57P0x UNAVAILABLE; classes 22 and 54 INVALID_ARGUMENT; every other
// INTERNAL. An INTERNAL error is logged in the context of the task that asked, with SQLSTATE and statement name.
//
// Why a statement was UNAVAILABLE, overdue or too much is noted for its task (task_note_cause).
//
// A connection that breaks ends the statements in flight on it with UNAVAILABLE: each may or may not have been applied.
// A read is repeated once instead. A statement that was not sent yet waits for a connection. While the server is away
// or does not answer (pg_ready) that wait lasts until 2 s after the beginning of the outage, and takes at most half of
// the time that the task has left, so that the caller can still be answered; then the statement is UNAVAILABLE.
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
  const char *conninfo;           // libpq connection string or URI; it holds the password and is never logged
  const char *conninfo_setting;   // whose file gives each new connection its password; NULL: `conninfo` has it
  size_t pipelined_connections;   // for point reads, always open; 0 means 2
  size_t write_connections;       // the pool for writes and transactions, opened on demand; 0 means 8
  size_t scan_connections;        // the pool for lists and other long reads, opened on demand; 0 means 4
  uint32_t statement_timeout_ms;  // statement_timeout of each session; 0 means 5,000
  const char *application_name;   // of the sessions, until pg_name_sessions
};

// Connects in the background, and reconnects with back-off and jitter whenever a connection breaks. A host name is
// resolved again for each attempt, without blocking the loop. A list of several hosts is left to libpq, which resolves
// their names on the loop's thread.
struct pg *pg_create(struct loop *loop, const struct pg_options *options);
// Closes all connections and nulls the pointer; accepts NULL. No statement may be in flight (CHECK).
void pg_free(struct pg **pg);
// Tells whether the connection string leaves alone what pg_effect_ms rests on. INVALID_ARGUMENT where it sets
// statement_timeout, which is in the options, or turns tcp_user_timeout off, or sets it to more than a minute.
enum status pg_check_conninfo(const char *conninfo, struct error *error) MUST_CHECK;
// Returns how long after it was sent a statement may take effect at most, also when this process has ended meanwhile:
// what the server does not take is given up after tcp_user_timeout, and a statement that it has taken after
// statement_timeout. A server that stands still itself is not counted.
uint32_t pg_effect_ms(const struct pg *pg);
// Gives the sessions that are opened from here on the application_name "<owner> <instance>", so that others can tell
// whose they are. Those that are open keep theirs, and nothing may have been written on any of them (CHECK). Only once
// for a pg, and with PG_SESSION_NAME_BYTES at most (CHECK); PostgreSQL would cut a longer name.
#define PG_SESSION_NAME_BYTES 63
void pg_name_sessions(struct pg *pg, const char *owner, const char *instance);
// Returns how many connections may be open at a time, those of the channels that there are and a probe's included.
size_t pg_connections_at_most(const struct pg *pg);
// Tells whether a pipelined connection is open and the server answers: an empty statement, sent every second, within
// 2 s. Neither slow statements nor locks make it false.
bool pg_ready(const struct pg *pg);
// Waits until pg_ready, or until the task's deadline.
enum status pg_wait_ready(struct pg *pg) MUST_CHECK;

// How a statement runs on its own. In a transaction all lanes are alike.
enum pg_lane {
  PG_LANE_WRITE,  // it changes or locks something, or may do so
  PG_LANE_POINT,  // a read of a few rows by their keys, without side effects; shares connection and transaction with
                  // other point reads, and may be repeated
  PG_LANE_SCAN,   // a read that may take long, without side effects; may be repeated
};

// One SQL statement. Declare it static: each connection prepares it at its first use there, and the address is its
// identity.
struct pg_statement {
  const char *name;  // of the metric and of the prepared statement, unique in the process: "item_get"
  const char *sql;   // with parameters $1, $2, ...
  enum pg_lane lane;
};

#define PG_MAX_PARAMS 24
// The parameters of one execution, in the order $1, $2, ...
struct pg_params {
  size_t count;
  const char *values[PG_MAX_PARAMS];
  int lengths[PG_MAX_PARAMS];
  int formats[PG_MAX_PARAMS];     // 0 text, 1 binary
  unsigned types[PG_MAX_PARAMS];  // type OIDs; 0 lets PostgreSQL infer
  struct arena *arena;
};
void pg_params_init(struct pg_params *params, struct arena *arena);
// Adds a text; NULL is SQL NULL. `text` is UTF-8, is not copied, and must stay valid until the query has returned.
void pg_add_text(struct pg_params *params, const char *text);
// Adds a text, copied into the arena; a NULL `text.data` is SQL NULL. A zero byte inside is a CHECK failure: validation
// refuses it earlier.
void pg_add_slice(struct pg_params *params, struct slice text);
void pg_add_int(struct pg_params *params, int64_t value);
void pg_add_bool(struct pg_params *params, bool value);
// Adds a bytea, which is not copied.
void pg_add_bytes(struct pg_params *params, struct slice bytes);
// Adds a text[]; a NULL item becomes an SQL NULL in the array.
void pg_add_text_array(struct pg_params *params, const char *const *items, size_t count);
// Adds a bigint[].
void pg_add_int_array(struct pg_params *params, const int64_t *items, size_t count);

// What a statement gave. Everything in it lives in the arena given to the call.
struct pg_result {
  size_t rows;
  size_t columns;
  int64_t affected;           // rows that INSERT, UPDATE or DELETE changed
  const struct slice *cells;  // rows * columns values in text format, zero-terminated; .data NULL is SQL NULL
  // Set when the statement failed in the server, so that callers can map the error to their fields; else empty.
  struct slice constraint;  // "items_owner_sku_key"
  struct slice sqlstate;
};
// Returns a cell's text; .data is NULL for SQL NULL. Reading a cell outside of the result is a CHECK failure.
struct slice pg_slice(const struct pg_result *result, size_t row, size_t column);
bool pg_is_null(const struct pg_result *result, size_t row, size_t column);
// The cell must be an integer (CHECK).
int64_t pg_int(const struct pg_result *result, size_t row, size_t column);
// Parses a text[] of one dimension into zero-terminated strings in the arena; an SQL NULL in it becomes NULL. SQL NULL
// and '{}' give no items. INTERNAL where the cell is no such array.
enum status pg_text_array(const struct pg_result *result, size_t row, size_t column, struct arena *arena, char ***items,
                          size_t *count) MUST_CHECK;

// Runs one statement. `params` may be NULL. `result` must not be NULL; it is filled on success (rows) and on failure
// (constraint and sqlstate).
enum status pg_query(struct pg *pg, const struct pg_statement *statement, const struct pg_params *params,
                     struct arena *arena, struct pg_result *result) MUST_CHECK;

// Fetches one row, or none, by its key. Keys that many tasks ask for at the same time by the same statement travel as
// one query. `statement` is a point read; its only parameter is an array of keys, and its last column is the key's
// place in that array (from 1), which `result` leaves out:
//   SELECT t.name, t.size, k.place FROM unnest($1::uuid[]) WITH ORDINALITY AS k(key, place) JOIN t ON t.id = k.key
// A data exception (class 22), which a single key may have caused, reaches only the callers whose key causes it, as
// long as few do. `result` has neither constraint nor sqlstate.
enum status pg_query_row(struct pg *pg, const struct pg_statement *statement, const char *key, struct arena *arena,
                         struct pg_result *result) MUST_CHECK;

// One change of one row.
struct pg_change {
  const struct pg_statement *statement;
  const char *key;   // of the row, as text: changes of one statement with the same key change the same row
  const void *item;  // what `add_params` takes the values from
  // Adds the statement's parameters: arrays, with one element for each item, in this order. Copies what it takes.
  void (*add_params)(const void *arg, struct pg_params *params, const void *const *items, size_t count);
  const void *arg;  // the same for all changes of the statement
};
// Changes one row and gives its new cells; gives no row where none fits, and the first where several do. Changes that
// many tasks make at the same time travel as one statement, which costs PostgreSQL half as much for each. `statement`
// is a write; its parameters are arrays, and its last column is the row's place in them (from 1), which `result` leaves
// out:
//   UPDATE t SET name = v.new_name FROM unnest($1::uuid[], $2::text[]) WITH ORDINALITY AS v(key, new_name, place)
//   WHERE id = v.key RETURNING t.name, t.size, v.place
// An error of one change reaches its caller only. Callers take turns, and so do statements. Everything else is as in
// pg_query, with one exception: when the connection breaks, the outcome of all changes in its statement is unknown.
enum status pg_change_row(struct pg *pg, const struct pg_change *change, struct arena *arena,
                          struct pg_result *result) MUST_CHECK;

// Begins a transaction (READ COMMITTED) on a connection of its own. An error in it gives the connection back, and only
// pg_rollback is left.
enum status pg_begin(struct pg *pg, struct pg_tx **tx) MUST_CHECK;
enum status pg_tx_query(struct pg_tx *tx, const struct pg_statement *statement, const struct pg_params *params,
                        struct arena *arena, struct pg_result *result) MUST_CHECK;
// Tells whether a statement of the transaction has failed, so that only pg_rollback is left.
bool pg_tx_failed(const struct pg_tx *tx);
// Commits and nulls the pointer. Cancellation does not end the wait for a COMMIT that was sent, and the deadline only
// 300 ms later. UNAVAILABLE when the connection broke meanwhile. Where the outcome is unknown, so is the task's effect.
enum status pg_commit(struct pg_tx **tx) MUST_CHECK;
// Rolls back and nulls the pointer. Accepts NULL and a finished transaction, so it serves as the one clean-up.
void pg_rollback(struct pg_tx **tx);

#endif
