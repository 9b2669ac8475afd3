// Shared by the pg_*.c files. One loop's thread owns everything here. The only other thread delivers a cancel request
// (pg_cancel.c), and it touches its own struct alone.
//
//   pg.c             creating and freeing, readiness, dispatching queued requests at the end of a turn
//   pg_query.c       pg_query: in which lane a statement runs, and when it is repeated
//   pg_request.c     the life of a request, and its states
//   pg_statement.c   the statements that were used, with their metrics
//   pg_gather.c      pg_query_row: keys of several tasks as one query
//   pg_change.c      pg_change_row: changes of several tasks as one statement
//   pg_connection.c  connecting, breaking, back-off, the socket
//   pg_outage.c      telling the operator that the server cannot be reached
//   pg_pipeline.c    what is in flight on one connection: sending, and which result belongs to which request
//   pg_pool.c        a pool of connections, shared out among callers; the outcome of what runs on one
//   pg_cancel.c      cancelling an overdue statement in the server
//   pg_tx.c          transactions
//   pg_probe.c       noticing that the server does not answer
//   pg_channel.c     messages between instances: LISTEN and NOTIFY
//   pg_places.c      the hosts of a connection string, and which of them is tried next
//   pg_fence.c       leaving a server that takes no writes any more
//   pg_vanished.c    leaving a host that has vanished with all connections at once
//   pg_params.c, pg_result.c, pg_sqlstate.c, pg_conninfo.c   parameters, rows, error codes, connection parameters
#ifndef BULKHEAD_STORAGE_PG_INTERNAL_H
#define BULKHEAD_STORAGE_PG_INTERNAL_H

#include <libpq-fe.h>

#include "common/base/hashtable.h"
#include "common/base/list.h"
#include "common/base/queue_limit.h"
#include "common/observe/metrics.h"
#include "common/runtime/loop.h"
#include "common/runtime/resolve.h"
#include "common/runtime/task.h"
#include "common/storage/pg.h"
#include "common/storage/pg_fence_internal.h"
#include "common/storage/reconnect_internal.h"

// Requests in flight on one pipelined connection at most; the others stay queued.
#define PG_MAX_IN_FLIGHT 1024
#define PG_CONNECT_TIMEOUT_MS 5000
// How long a host may take to accept a connection, before anything is said on it. A host that has vanished does not.
#define PG_REACH_TIMEOUT_MS 1700
#define PG_STATEMENT_TIMEOUT_MS 5000
// How long a statement waits for a lock before it makes room for others and is repeated.
#define PG_LOCK_TIMEOUT_MS 100
// How many batches of gathered changes may be under way at a time. More would only be smaller.
#define PG_GATHERED_CONNECTIONS 2
// The server ends a transaction that was left open for as long as a statement may take, because it may hold locks.
// These are the bounds of that time. The lower one leaves a busy process time between two statements.
#define PG_IDLE_LEAST_MS 1000
#define PG_IDLE_MOST_MS 5000

// What all uses of one statement share. Made at the first use, and kept until the pg is freed.
struct pg_statement_entry {
  struct hashtable_node node;  // in pg.statements
  const struct pg_statement *statement;
  struct pg_statement *made;  // the same, where pg_make_statement has made it; freed with the entry
  size_t index;               // into each connection's table of prepared statements
  struct metric_series *duration;
  struct metric_series *outcomes[STATUS_COUNT];  // each made when first needed
  struct list reads;                             // pg_read.node: keys that no batch has taken yet
  struct list gathering;                         // in pg.gathering while `reads` has some
  struct list changes;                           // pg_waiting_change.node: those that no batch has taken yet
  size_t change_count;                           // in `changes`
  struct list changing;                          // in pg.changing while `changes` has some
  struct list lone_changes;                      // pg_waiting_change.node: those that run alone
};

// An error of the server that the caller is not to blame for, to be logged. Empty where there was none. The texts are
// in the arena of the execution.
struct pg_failure {
  struct slice sqlstate;
  struct slice message;  // the primary message only, because details quote values
};

// What a caller wants executed, and where the outcome goes. It lies on the stack of the task that waits.
struct pg_execution {
  const struct pg_statement *statement;
  const struct pg_params *params;  // NULL for none
  struct arena *arena;
  struct pg_result *result;
  struct pg_failure failure;
  bool was_sent;
};

// How a request is sent.
enum pg_request_kind {
  PG_READ,    // shares a Sync, and so an implicit transaction, with the other reads of the turn
  PG_SINGLE,  // has a Sync, and so an implicit transaction, of its own
  PG_BEGIN,   // travels in front of a transaction's first statement, without a Sync
  PG_IN_TRANSACTION,
  PG_COMMIT,  // in a transaction; it has succeeded only when the server answers COMMIT, because it may say ROLLBACK
};

// Where a request stands. pg_request_enter makes every change.
enum pg_request_state {
  PG_REQUEST_FREE,       // in pg.free_requests
  PG_REQUEST_OWNED,      // its caller's alone
  PG_REQUEST_QUEUED,     // waits in pg.reads or pg.singles to be dispatched
  PG_REQUEST_IN_FLIGHT,  // sent; its outcome is not known yet
  PG_REQUEST_OVERDUE,    // cancelled in the server; its caller waits a little longer for its outcome
  PG_REQUEST_RETRY,      // the server did nothing of it; it is sent again once its results have been drained
  PG_REQUEST_LOST,       // its connection broke before the outcome was known
  PG_REQUEST_DONE,       // its outcome is in the completion
  PG_REQUEST_ABANDONED,  // its caller has left; freed once its results have been drained
};

// One statement on its way to the server and back. It outlives its caller when that leaves early
// (PG_REQUEST_ABANDONED).
struct pg_request {
  struct list node;  // in a queue of struct pg, or in free_requests
  enum pg_request_kind kind;
  enum pg_request_state state;
  struct pg_statement_entry *entry;
  struct pg_execution *execution;  // the caller's; NULL when nobody waits for the outcome
  struct completion completion;
  uint64_t deadline_us;  // it is not sent after this
  uint64_t sent_us;
  struct pg_connection *connection;                 // that it was sent on
  enum status status;                               // as far as it is known; the final one goes into the completion
  unsigned prepared_generation;                     // of the prepared statement that it used
  bool prepares_again;                              // retried with a Parse of its own; it is not retried a second time
  void (*finished)(void *arg, enum status status);  // told the outcome of an abandoned request; NULL where nobody asks
  void *finished_arg;
};

// What the server's next results belong to, in order: libpq's command queue, with our request for each entry.
enum pg_command_kind { PG_COMMAND_PREPARE, PG_COMMAND_QUERY, PG_COMMAND_SYNC };
struct pg_command {
  enum pg_command_kind kind;
  bool answered;               // a result has come, and its end has not
  struct pg_request *request;  // of a Sync: the request that ends with it, or NULL
};

// A statement as one connection has prepared it. A failure starts the next generation, under another name, because a
// name is not used twice.
struct pg_prepared {
  bool sent;
  unsigned generation;
};

// pg_connection.c makes every change.
enum pg_connection_state {
  PG_CLOSED,       // nothing is there, and nothing is scheduled
  PG_BACKING_OFF,  // waits for the timer after a failure
  PG_RESOLVING,    // the host's name is being resolved; the timer bounds it
  PG_REACHING,     // no host has accepted the connection yet; the timer bounds it
  PG_CONNECTING,   // one has, and libpq and the server greet each other; the timer bounds it
  PG_OPEN,
  PG_FAILING,  // a send failed; the connection is broken at the next safe place
};

enum pg_connection_use {
  PG_PIPELINED,  // carries the point reads of all tasks, for ever
  PG_POOLED,     // in its pool, open or not
  PG_BORROWED,   // of a pool: a task has it
  PG_DRAINING,   // of a pool: given back while something was in flight
  PG_LISTENING,  // a channel's, for ever
  PG_PROBING,    // the probe's, for ever
};

struct pg_caller;
struct pg_cancel;
struct pg_pool;

struct pg_connection {
  struct list node;  // pg.all
  struct pg *pg;
  enum pg_connection_state state;
  enum pg_connection_use use;
  struct pg_pool *pool;          // NULL for a pipelined one
  struct pg_caller *borrower;    // while PG_BORROWED
  uint64_t lent_us;              // when it was lent; 0 when how long it is away tells nothing of other statements
  struct loop_resolve *resolve;  // while PG_RESOLVING
  size_t turn;                   // pg.turn when the last attempt to connect began
  PGconn *conn;                  // NULL without one
  int fd;                        // a duplicate of libpq's socket, because libpq closes its own before the watch can end
  struct loop_watch *watch;
  int watched_events;
  const char *leaving;  // why it is about to be closed; NULL: it is not. It is sent nothing more
  struct reconnect reconnect;

  struct pg_command *commands;  // a ring
  size_t first_command;
  size_t command_count;
  size_t command_capacity;
  size_t in_flight;         // requests among the commands
  bool group_open;          // reads were sent since the last Sync
  enum status group_error;  // the first error since the last Sync

  struct pg_prepared *prepared;  // by pg_statement_entry.index
  size_t prepared_count;
  struct pg_cancel *cancel;  // a cancel request on its way, or NULL
  bool cancel_scheduled;     // the timer of `reconnect` runs for the next one
  uint64_t cancelled_us;     // when the last one was delivered
};

// A pool of connections that each carry one statement or transaction at a time.
struct pg_pool {
  struct pg *pg;
  const char *what;                        // what a task waits for, shown in lists of tasks
  const struct pg_statement *preparation;  // runs on each new connection before it is lent; NULL for none
  struct pg_connection *connections;
  size_t count;
  struct hashtable callers;  // struct pg_caller: who has connections, or waits for one
  struct list turns;         // struct pg_caller with tasks that wait, in the order of their turns
  size_t waiting;            // tasks that wait
  struct queue_limit limit;  // of the tasks that wait
};

// pg_probe.c makes every change.
enum pg_probe_state {
  PG_PROBE_IDLE,    // nothing was asked; the timer runs until the next time where there is a connection
  PG_PROBE_ASKED,   // the timer bounds the answer
  PG_PROBE_SILENT,  // no answer has come in time, and none yet
};

struct pg_probe {
  struct pg_connection connection;
  enum pg_probe_state state;
  struct loop_timer *timer;
  uint64_t silent_since_us;  // 0 unless a warning was logged and no answer has come since
};

enum pg_outage_told {
  PG_OUTAGE_UNTOLD,
  PG_OUTAGE_IN_PART,  // connections are open, and no further one can be opened
  PG_OUTAGE_WHOLE,    // no connection is open
};

// What the operator is told of failed attempts to connect. All zero at first. pg_outage.c makes every change.
struct pg_outage {
  unsigned failures;         // since the outage began, of all connections; 0 while there is none
  uint64_t began_us;         // the first of them
  uint64_t next_us;          // no warning is written before this
  enum pg_outage_told told;  // its end is told only if it was
};

// One host of the connection string.
struct pg_place {
  char *host;     // a name, an address or a folder; may be empty with an address
  char *address;  // of `hostaddr`, or empty
  char *port;     // or empty
};

struct pg {
  struct loop *loop;
  struct loop_hook hook;
  char **keywords;  // libpq parameters, NULL-terminated
  char **values;
  struct pg_place *places;
  size_t place_count;            // 0: libpq finds the host
  size_t turn;                   // which place, and which of its addresses, the next attempt to connect begins with
  const char *conninfo_setting;  // its file gives the password of each new connection; NULL: none does
  bool sessions_are_named;       // see pg_name_sessions
  const char *malformed;         // why the connection string cannot be used, or NULL
  uint32_t statement_timeout_ms;
  struct pg_outage outage;
  uint64_t unready_since_us;  // since when no pipelined connection is open; 0 while one is
  struct pg_fence fence;
  struct loop_timer *vanished_timer;  // NULL with one place

  struct list all;  // pg_connection.node: all connections, open or not
  struct pg_connection *pipelined;
  size_t pipelined_count;
  struct pg_probe probe;
  struct pg_pool writes;  // and transactions
  struct pg_pool scans;
  struct pg_pool gathered;  // changes of several tasks
  size_t change_batches;    // under way
  uint64_t batch_began_us;  // the latest of them
  struct loop_timer *batch_timer;

  struct list reads;      // queued requests of kind PG_READ
  struct list singles;    // queued requests of kind PG_SINGLE: reads that are retried
  struct list gathering;  // struct pg_statement_entry with keys that wait
  size_t read_batches;    // under way
  size_t gathered_keys;   // that wait
  struct queue_limit read_limit;
  struct list changing;    // struct pg_statement_entry with changes that wait
  size_t waiting_changes;  // in all of them
  struct queue_limit change_limit;
  struct list free_requests;
  struct list ready_waiters;    // struct pg_ready_waiter
  struct hashtable statements;  // struct pg_statement_entry, by the statement's address

  struct metric_series *up;
  struct metric_series *connections;
  struct metric_series *connects_ok;
  struct metric_series *connects_failed;
  struct metric_series *cancels;
  struct metric_series *refused;
};

// ---- pg.c ----

// Returns OK when a pipelined connection is open. Otherwise waits for one, until an outage is 2 s old, and for half of
// the time that the task has left at most, so that the caller can still be answered; then UNAVAILABLE.
enum status pg_wait_usable(struct pg *pg) MUST_CHECK;
// Tells whether a pipelined connection is open, even one on which the server has fallen silent.
bool pg_is_connected(const struct pg *pg);
// Returns whether the task may wait behind `ahead` others, of which `servers` are served at a time: not for too long,
// and not for longer than it has time.
bool pg_may_queue(const struct pg *pg, const struct queue_limit *limit, size_t ahead, size_t servers);
// Shows in the metrics what pg_ready says now.
void pg_show_ready(struct pg *pg);
// Wakes the tasks that wait for pg_ready.
void pg_became_ready(struct pg *pg);

// ---- pg_query.c ----

// Runs one statement like pg_query, but leaves it to the caller to log the failure, in the context that it belongs to.
enum status pg_execute(struct pg *pg, struct pg_execution *execution) MUST_CHECK;

// How often a statement was repeated because it could not have a lock, and until when it is.
struct pg_lock_retry {
  uint32_t backoff_ms;
  uint64_t end_us;
};
// Begins the time in which repeats make sense: until the task's deadline, or for as long as a statement may take.
struct pg_lock_retry pg_lock_retry_begin(const struct pg *pg);
// Tells whether to repeat what ended with `*status`: a lock could not be had, nothing was changed, and there is time
// left. It pauses before it returns true. Where the task has run out of time or was cancelled, that becomes the
// status.
bool pg_lock_retry_next(struct pg_lock_retry *retry, const struct pg_result *result, enum status *status);

// ---- pg_request.c ----

// Makes a request of its caller's own (PG_REQUEST_OWNED). `execution` is NULL when nobody waits for the outcome.
struct pg_request *pg_request_create(struct pg *pg, struct pg_statement_entry *entry, enum pg_request_kind kind,
                                     struct pg_execution *execution);
// Gives the request back, to be used again; nulls the pointer.
void pg_request_free(struct pg *pg, struct pg_request **request);
// The one place that changes a request's state. A change that is not in its table is a CHECK failure.
void pg_request_enter(struct pg_request *request, enum pg_request_state state);
// Ends a request whose results have been drained: wakes its caller, or frees an abandoned one.
void pg_request_finish(struct pg *pg, struct pg_request *request, enum status status);
// Forgets the outcome of the attempt before, so that the request can be sent again.
void pg_request_reset(struct pg_request *request);
// Logs what the server said, if it said something, in the log context of the current task.
void pg_log_failure(const struct pg_statement *statement, const struct pg_failure *failure);

// ---- pg_statement.c ----

void pg_free_statements(struct pg *pg);
// Returns the statement's entry; makes it at the first use.
struct pg_statement_entry *pg_find_statement(struct pg *pg, const struct pg_statement *statement);
// Returns a statement whose SQL is known at run time only; it lives until the pg is freed. The texts are copied.
const struct pg_statement *pg_make_statement(struct pg *pg, const char *name, const char *sql);
// Counts one execution in the metrics.
void pg_count_outcome(struct pg *pg, struct pg_statement_entry *entry, enum status status, uint64_t started_us);

// ---- pg_gather.c ----

// Starts batches of the keys that wait, as long as more batches may be under way.
void pg_gather_dispatch(struct pg *pg);

// ---- pg_change.c ----

// Starts batches of the changes that wait, as long as more batches may be under way.
void pg_change_dispatch(struct pg *pg);

// ---- pg_connection.c ----

void pg_connection_init(struct pg_connection *connection, struct pg *pg, enum pg_connection_use use);
void pg_connection_destroy(struct pg_connection *connection);
void pg_connection_open(struct pg_connection *connection);
// Notes that a send failed. The connection cannot be broken in the middle of sending, because that would finish
// requests under their senders' feet.
void pg_connection_fail(struct pg_connection *connection);
// Closes the connection and ends what is in flight with UNAVAILABLE. A pipelined connection reconnects later.
void pg_connection_break(struct pg_connection *connection, const char *reason);
// Lets the loop find the connection broken, for `reason`, which must outlive that. Unlike pg_connection_break it may be
// called anywhere, because nothing is finished under the feet of who calls.
void pg_connection_leave(struct pg_connection *connection, const char *reason);
// Tells whether statements may be sent on the connection.
bool pg_connection_usable(const struct pg_connection *connection);
// Keeps libpq from writing the server's notices to standard error.
void pg_ignore_notices(PGconn *conn);
// Tells whether the server has accepted the connection, and it has not been closed yet.
bool pg_connection_established(const struct pg_connection *connection);
// Watches the socket for input, and for room to write when `writable`.
void pg_connection_watch(struct pg_connection *connection, bool writable);

// ---- pg_outage.c ----

// Counts a failed attempt to connect. Returns whether to warn of it now: at the first, and every 30 s while it lasts.
// Where other connections are open (`is_connected`), the first warning comes after a second.
bool pg_outage_count_failure(struct pg_outage *outage, bool is_connected, uint64_t now_us);
// Ends the outage; returns whether it was warned of. `was_connected` says that other connections were open all the
// time: failures that alternate with successes are not warned of more often then.
bool pg_outage_end(struct pg_outage *outage, bool was_connected);
// Logs a failed attempt of any connection, as a warning where that is due.
void pg_outage_note_failure(struct pg *pg, struct slice reason);
// Notes for the current task why PostgreSQL has failed it, and returns the status. `what` names what was tried.
enum status pg_note_cause(const struct pg *pg, const char *what, enum status status);
// Logs the end of an outage, if there was one. `was_connected` is pg_is_connected from before the new connection.
void pg_outage_note_success(struct pg *pg, bool was_connected);

// ---- pg_pipeline.c ----

// Sends a request: Parse where the connection has not prepared the statement, then Bind and Execute. A PG_READ joins
// the open group; every other kind but PG_BEGIN gets a Sync of its own. What was sent is written at the next flush.
void pg_pipeline_send(struct pg_connection *connection, struct pg_request *request);
// Ends the group of reads with its Sync, and writes what was sent.
void pg_pipeline_flush(struct pg_connection *connection);
// Reads what has arrived and hands each result to its request.
void pg_pipeline_receive(struct pg_connection *connection);
// Ends everything in flight with UNAVAILABLE.
void pg_pipeline_fail(struct pg_connection *connection);

// ---- pg_pool.c ----

void pg_pool_init(struct pg_pool *pool, struct pg *pg, const char *what, size_t size);
// Closes the connections. None may be lent, and no task may wait for one (CHECK).
void pg_pool_destroy(struct pg_pool *pool);
// Waits for a connection: by turns between callers. `after_lock` says that a statement is repeated because of a lock.
enum status pg_pool_borrow(struct pg_pool *pool, bool after_lock, struct pg_connection **connection) MUST_CHECK;
// Gives it back. The pool waits for what is in flight on it, and rolls back what was left open.
void pg_pool_return(struct pg_connection *connection);
// Sends the request of a task that has time left, waits for its outcome and notes it; frees it if it was not abandoned.
enum status pg_pool_run(struct pg_connection *connection, struct pg_request *request) MUST_CHECK;
// Waits for the outcome of what was sent, as long as the task may wait for answers (task_answer_deadline_us).
enum status pg_wait_for_answer(struct completion *completion);
// Waits for the outcome of what was sent for a task that is overdue or cancelled, until `until_us`.
enum status pg_wait_shielded(struct completion *completion, uint64_t until_us);
// Returns until when the task waits for such an outcome: 300 ms from now.
uint64_t pg_outcome_deadline_us(void);
// Prepares a new connection, or lends it at once where the pool prepares none.
void pg_pool_connected(struct pg_connection *connection);
// Moves the pool on, after a connection has changed its state or has been drained.
void pg_pool_progress(struct pg_connection *connection);

// ---- pg_cancel.c ----

// Asks the server, from another thread, to cancel what runs on the connection. It is asked again until that has ended.
void pg_cancel_start(struct pg_connection *connection);
// Sees to it that abandoned reads on a pipelined connection are cancelled, should the server be busy with one. This
// may hit a neighbour, which is retried.
void pg_cancel_abandoned(struct pg_connection *connection);
// Goes on with cancelling, when the timer of an open connection has fired.
void pg_cancel_continue(struct pg_connection *connection);
// Repeats no cancel request any more, because what it was for has ended.
void pg_cancel_stop(struct pg_connection *connection);
// Waits, and blocks the loop, until a cancel request that is on its way has been delivered, 100 ms at most. After that
// its thread is left to itself.
void pg_cancel_leave(struct pg_connection *connection);

// ---- pg_probe.c ----

void pg_probe_init(struct pg_probe *probe, struct pg *pg);
// Connects and begins to ask, unless it does so already. A server that was never reached needs no probe.
void pg_probe_start(struct pg_probe *probe);
void pg_probe_destroy(struct pg_probe *probe);
// Tells whether an answer is overdue.
bool pg_probe_is_silent(const struct pg_probe *probe);
// For pg_connection.c, with the probe's connection.
void pg_probe_connected(struct pg_connection *connection);
void pg_probe_lost(struct pg_connection *connection);

// ---- pg_conninfo.c ----

// Fills pg->keywords, pg->values and pg->places, or pg->malformed.
void pg_conninfo_init(struct pg *pg, const struct pg_options *options);
void pg_conninfo_set(struct pg *pg, const char *keyword, const char *value);
// Returns the value that libpq will use: the environment's where the connection string has none or an empty one.
const char *pg_conninfo_value(const struct pg *pg, const char *keyword, const char *variable);
// Takes the password that the file of pg->conninfo_setting holds now. What was known stays if it cannot be read.
void pg_conninfo_read_password(struct pg *pg);
void pg_conninfo_free(struct pg *pg);
// Connects to a host that takes writes, blocking, with what this suite adds for hosts that vanish. NULL when memory is
// exhausted.
PGconn *pg_connect_blocking(const char *conninfo);

// ---- pg_places.c ----

void pg_places_init(struct pg *pg);
void pg_places_free(struct pg *pg);
// Returns the host name that must be resolved before an attempt in this turn, or NULL.
const char *pg_places_name(const struct pg *pg, size_t turn);
// Makes libpq try the place of this turn. `found` are the addresses of pg_places_name; NULL where that is.
void pg_places_aim(struct pg *pg, size_t turn, const struct address_list *found);
// Tells whether attempts in both turns go to the same place. The next round through all places begins with it again.
bool pg_places_are_same(const struct pg *pg, size_t turn, size_t other_turn);
// Moves the turn on, because the place of `turn` has failed, unless another connection has done so.
void pg_places_fail(struct pg *pg, size_t turn);
// Tells whether there are places that were not tried since a connection has begun to fail.
bool pg_places_has_more(const struct pg *pg, unsigned failures);

// ---- pg_result.c ----

// Fills `result` with the rows of `*from`. Its cells point there, so the arena takes what has rows over and `*from`
// becomes NULL.
void pg_result_keep(struct pg_result *result, struct arena *arena, PGresult **from);
// Copies the first `columns` cells of one row, as a result of its own.
void pg_result_copy_row(struct pg_result *result, struct arena *arena, const struct pg_result *from, size_t row,
                        size_t columns);
void pg_result_fill_error(struct pg_result *result, struct arena *arena, const PGresult *from);

#endif
