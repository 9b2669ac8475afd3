// What the pg_*.c files share. One loop's thread owns everything here; the only other thread is the one that
// delivers a cancel (pg_cancel.c), and it touches its own struct alone.
//
//   pg.c             life, the table of statements, pg_query, the end-of-turn hook that hands statements out
//   pg_gather.c      pg_query_row: the reads of a turn as one statement
//   pg_connection.c  connecting, breaking, back-off, the socket
//   pg_pipeline.c    what is under way on one connection: sending, results, who gets which
//   pg_exclusive.c   the pool of connections that are borrowed whole
//   pg_cancel.c      cancelling an overdue statement in the server
//   pg_tx.c          transactions
//   pg_params.c, pg_result.c, pg_sqlstate.c, pg_conninfo.c   values in, rows out, error codes, connection parameters
#ifndef BULKHEAD_STORAGE_PG_INTERNAL_H
#define BULKHEAD_STORAGE_PG_INTERNAL_H

#include <libpq-fe.h>
#include <pthread.h>

#include "common/base/list.h"
#include "common/observe/metrics.h"
#include "common/runtime/loop.h"
#include "common/runtime/resolve.h"
#include "common/runtime/task.h"
#include "common/storage/pg.h"

// Statements under way on one shared connection; the others wait in line.
#define PG_MAX_IN_FLIGHT 1024
#define PG_CONNECT_TIMEOUT_MS 5000
// A transaction whose task forgot it must not hold its locks for ever.
#define PG_IDLE_IN_TRANSACTION_MS 30000

// One for each statement that was ever used, found by the statement's address.
struct pg_known {
  const struct pg_statement *statement;
  size_t index;  // into each connection's table of prepared statements
  struct metric_series *duration;
  struct metric_series *ended[STATUS_COUNT];  // made when first needed
  struct list gathered;                       // pg_read.node: rows that were asked for in this turn
  struct list gathering;                      // in struct pg, while there are any
};

// A statement on its way. It outlives its caller when that leaves early: then it is `abandoned`, and freed when its
// result has been drained.
struct pg_request {
  struct list node;  // in a line of struct pg, or free
  struct pg_known *known;
  const struct pg_params *params;  // the caller's; read only while it waits; NULL for none
  struct arena *arena;
  struct pg_result *result;
  struct completion completion;
  enum status status;   // so far; the final one goes into the completion
  unsigned generation;  // of the prepared statement that it used
  bool alone;           // has a Sync, and so an implicit transaction, of its own
  bool in_transaction;  // of an open transaction: never sent again
  bool commit;          // done only when the server says COMMIT, for it may say ROLLBACK
  bool answered;        // a result has come
  bool fresh;           // sent a second time, with a Parse of its own; there is no third
  bool again;           // aborted by a neighbour, or its prepared statement was gone: nothing of it was done
  bool lost;            // its connection broke
  bool abandoned;
};

// What the server's next answers belong to, in order.
enum pg_step_kind { PG_STEP_PREPARE, PG_STEP_QUERY, PG_STEP_SYNC };
struct pg_step {
  enum pg_step_kind kind;
  struct pg_request *request;  // of a Sync: the one that is finished by it (its commit), or NULL
};

struct pg_prepared {
  bool sent;
  unsigned generation;  // a part of the name after the first; a name is never used again after a failure
};

enum pg_connection_state {
  PG_CLOSED,      // nothing there; a shared one tries again when its timer fires
  PG_CONNECTING,  // the timer bounds it
  PG_OPEN,
};

enum pg_use {
  PG_SHARED,    // the pipelined ones, for ever
  PG_UNUSED,    // exclusive: in the pool (when open) or empty
  PG_BORROWED,  // exclusive: a task has it
  PG_DRAINING,  // exclusive: given back while something was under way
};

struct pg_cancel;

struct pg_connection {
  struct pg *pg;
  enum pg_connection_state state;
  enum pg_use use;
  struct loop_resolve *resolve;  // while the host's addresses are looked up, before there is a conn
  PGconn *conn;
  int fd;  // a duplicate of libpq's socket: libpq closes its own before we can end the watch
  struct loop_watch *watch;
  int watched_events;
  struct loop_timer *timer;
  unsigned failures;  // in a row
  bool excused;       // this attempt has had its time again, for it was the loop that was late
  uint32_t backoff_ms;
  bool resting;  // until the timer fires, after a failure

  struct pg_step *steps;  // a ring
  size_t first_step;
  size_t step_count;
  size_t step_capacity;
  size_t in_flight;         // requests among the steps
  bool reads_open;          // read-only statements were sent since the last Sync
  bool failing;             // a send failed; broken at the next safe place
  enum status group_error;  // the first error since the last Sync

  struct pg_prepared *prepared;
  size_t prepared_count;
  struct pg_cancel *cancel;  // under way, or NULL
};

struct pg {
  struct loop *loop;
  struct loop_hook hook;
  char **keywords;  // libpq parameters, NULL-terminated
  char **values;
  char *host_name;        // to be looked up before each attempt to connect, or NULL
  const char *malformed;  // why the connection string cannot be used, or NULL

  struct pg_connection *shared;
  size_t shared_count;
  struct pg_connection *exclusive;
  size_t exclusive_count;

  struct list reads;      // not sent yet
  struct list others;     // not sent yet
  struct list gathering;  // struct pg_known
  struct list free_requests;
  struct list ready_waiters;      // struct pg_ready_waiter
  struct list exclusive_waiters;  // struct pg_exclusive_waiter
  size_t borrowed;

  struct pg_known **known;  // open addressing, a power of two
  size_t known_capacity;
  size_t known_count;

  struct metric_series *connections;
  struct metric_series *connects_ok;
  struct metric_series *connects_failed;
  struct metric_series *cancels;
};

// pg.c
struct pg_known *pg_known_find(struct pg *pg, const struct pg_statement *statement);
void pg_known_ended(struct pg *pg, struct pg_known *known, enum status status, uint64_t started_us);
struct pg_request *pg_request_new(struct pg *pg, const struct pg_statement *statement);
void pg_request_release(struct pg *pg, struct pg_request *request);
// Gives the outcome to whoever waits, or frees an abandoned one.
void pg_request_finish(struct pg *pg, struct pg_request *request, enum status status);
// As if it had not been sent yet.
void pg_request_reset(struct pg_request *request);
// A request that did nothing goes to the head of the line again.
void pg_request_again(struct pg *pg, struct pg_request *request);
// OK when a shared connection is up. Else waits for one, half of the time that the task has left at most, so that the
// caller can still be told: UNAVAILABLE.
enum status pg_wait_usable(struct pg *pg) MUST_CHECK;
// A shared connection is up.
void pg_became_ready(struct pg *pg);

// pg_gather.c
// Starts what pg_query_row has gathered in this turn.
void pg_gather_send(struct pg *pg);

// pg_connection.c
void pg_connection_init(struct pg_connection *connection, struct pg *pg, enum pg_use use);
void pg_connection_destroy(struct pg_connection *connection);
void pg_connection_open(struct pg_connection *connection);
// Ends what is under way with UNAVAILABLE; a shared one connects again later.
void pg_connection_break(struct pg_connection *connection, const char *reason);
// Watches for what libpq waits for now.
void pg_connection_watch(struct pg_connection *connection, bool writable);

// pg_pipeline.c
// Prepares where needed, and queues. A request that is not alone joins the open group of reads.
void pg_pipeline_send(struct pg_connection *connection, struct pg_request *request);
// BEGIN in front of the first statement of a transaction: no Sync of its own, nobody waits.
void pg_pipeline_send_ahead(struct pg_connection *connection, struct pg_request *request);
// Closes the group of reads and writes what is queued.
void pg_pipeline_flush(struct pg_connection *connection);
// Takes in what has arrived.
void pg_pipeline_receive(struct pg_connection *connection);
// Everything under way ends with UNAVAILABLE.
void pg_pipeline_fail(struct pg_connection *connection);

// pg_exclusive.c
enum status pg_exclusive_borrow(struct pg *pg, struct pg_connection **connection) MUST_CHECK;
// With whatever is under way or open on it: that is drained and rolled back first.
void pg_exclusive_return(struct pg_connection *connection);
// Something changed: opened, broke, drained, cancel delivered.
void pg_exclusive_progress(struct pg_connection *connection);
// Runs the statement of a request on a borrowed connection; an overdue one is cancelled in the server.
enum status pg_exclusive_run(struct pg_connection *connection, struct pg_request *request) MUST_CHECK;

// pg_cancel.c
void pg_cancel_start(struct pg_connection *connection);
// Waits (blocking) for the end of one that is under way.
void pg_cancel_join(struct pg_connection *connection);

// pg_conninfo.c
// Fills pg->keywords, pg->values and pg->host_name, or pg->malformed.
void pg_conninfo_make(struct pg *pg, const struct pg_options *options);
// libpq is to try these addresses of pg->host_name, beginning at the one in place `first` (modulo their count).
void pg_conninfo_resolved(struct pg *pg, const struct address_list *found, size_t first);
void pg_conninfo_free(struct pg *pg);

// pg_sqlstate.c: "23505" -> ALREADY_EXISTS; NULL or malformed -> INTERNAL.
enum status pg_sqlstate_status(const char *sqlstate);

// pg_result.c
void pg_result_fill(struct pg_result *result, struct arena *arena, const PGresult *from);
// The row's first `columns` cells.
void pg_result_copy_row(struct pg_result *result, struct arena *arena, const struct pg_result *from, size_t row,
                        size_t columns);
void pg_result_fill_error(struct pg_result *result, struct arena *arena, const PGresult *from);

#endif
