// A pool of connections, each of which carries one statement or transaction at a time. Connections are opened on demand
// up to the pool's size and kept open.
//
// Tasks that wait for a connection are served by turns between their callers (task_caller), and first come, first
// served within one caller. One caller has at most three quarters of a pool, so that what it queues leaves room for the
// others. Work for no caller in particular has a turn like a caller, and no limit. Statements that are repeated because
// of a lock have a turn and a quarter of the pool together, so that one locked row leaves room for the other rows.
//
// A task that would wait for too long (queue_limit.h), or longer than it has time, is refused at once:
// RESOURCE_EXHAUSTED. Not so where it works for no caller in particular, or repeats a statement because of a lock.
#include <stdlib.h>

#include "common/base/check.h"
#include "common/storage/pg_internal.h"
#include "common/storage/pg_sqlstate_internal.h"

// How long a task waits, past its deadline, for the outcome of what it has sent.
enum { OUTCOME_WAIT_MS = 300 };
// How often a task that waits for a connection looks whether the server is there.
enum { LOOK_AGAIN_MS = 1000 };

// The key of the statements that are repeated because of a lock; other keys are 0 or hashes.
#define LOCK_RETRIES_KEY 1

// Made when a caller first waits or borrows, and freed when it does neither.
struct pg_caller {
  struct hashtable_node node;  // in pg_pool.callers, by the caller's key
  struct list turn;            // in pg_pool.turns while tasks wait
  struct list waiters;         // struct pg_pool_waiter
  size_t waiting;
  size_t lent;
};

// Lies on the stack of the task that waits.
struct pg_pool_waiter {
  struct list node;
  struct completion completion;
  struct pg_connection *connection;
};

static const struct pg_statement ROLLBACK = {.name = "ROLLBACK", .sql = "ROLLBACK"};

// ---- creating and freeing ----

void pg_pool_init(struct pg_pool *pool, struct pg *pg, const char *what, size_t size)
{
  *pool = (struct pg_pool){.pg = pg, .what = what, .count = size};
  list_init(&pool->turns);
  pool->connections = calloc(size, sizeof(*pool->connections));
  CHECK(pool->connections != NULL);
  for (size_t i = 0; i < size; i++) {
    pg_connection_init(&pool->connections[i], pg, PG_POOLED);
    pool->connections[i].pool = pool;
  }
}

void pg_pool_destroy(struct pg_pool *pool)
{
  CHECK(pool->callers.count == 0);  // nothing is lent, and nobody waits
  for (size_t i = 0; i < pool->count; i++)
    pg_connection_destroy(&pool->connections[i]);
  free(pool->connections);
  hashtable_free(&pool->callers);
}

// ---- callers ----

static struct pg_caller *find_caller(struct pg_pool *pool, uint64_t key)
{
  struct hashtable_node *node = hashtable_first(&pool->callers, key);
  if (node != NULL)
    return CONTAINER_OF(node, struct pg_caller, node);
  struct pg_caller *caller = calloc(1, sizeof(*caller));
  CHECK(caller != NULL);
  list_init(&caller->turn);
  list_init(&caller->waiters);
  hashtable_insert(&pool->callers, &caller->node, key);
  return caller;
}

static void free_idle_caller(struct pg_pool *pool, struct pg_caller *caller)
{
  if (caller->lent > 0 || caller->waiting > 0)
    return;
  hashtable_remove(&pool->callers, &caller->node);
  free(caller);
}

// Returns how many connections the caller may have at a time.
static size_t limit_of_caller(const struct pg_pool *pool, const struct pg_caller *caller)
{
  size_t limit = pool->count * 3 / 4;
  if (caller->node.hash == 0)
    limit = pool->count;
  else if (caller->node.hash == LOCK_RETRIES_KEY)
    limit = pool->count / 4;
  return limit == 0 ? 1 : limit;
}

// Those that wait because of a lock do not make the queue one that never empties: they may wait for minutes, while the
// others are served.
static void note_waiting(struct pg_pool *pool)
{
  const struct hashtable_node *node = hashtable_first(&pool->callers, LOCK_RETRIES_KEY);
  size_t for_locks = node == NULL ? 0 : CONTAINER_OF(node, const struct pg_caller, node)->waiting;
  queue_limit_note_waiting(&pool->limit, pool->waiting - for_locks, loop_now_us(pool->pg->loop));
}

static void add_waiter(struct pg_pool *pool, struct pg_caller *caller, struct pg_pool_waiter *waiter)
{
  list_append(&caller->waiters, &waiter->node);
  if (caller->waiting++ == 0)
    list_append(&pool->turns, &caller->turn);
  pool->waiting++;
  note_waiting(pool);
}

static void remove_waiter(struct pg_pool *pool, struct pg_caller *caller, struct pg_pool_waiter *waiter)
{
  list_remove(&waiter->node);
  caller->waiting--;
  if (caller->waiting == 0)
    list_remove(&caller->turn);
  pool->waiting--;
  note_waiting(pool);
}

static size_t count_waiting_callers(const struct pg_pool *pool)
{
  size_t count = 0;
  for (const struct list *node = pool->turns.next; node != &pool->turns; node = node->next)
    count++;
  return count;
}

// Returns whether the pool's queue is short enough for one more task of the caller. Callers take turns: before its turn
// comes, each of the others that wait is served as often as the caller itself.
static bool may_wait(const struct pg_pool *pool, const struct pg_caller *caller)
{
  if (pool->waiting == 0 || caller->node.hash == 0 || caller->node.hash == LOCK_RETRIES_KEY)
    return true;
  size_t callers = count_waiting_callers(pool) + (caller->waiting == 0 ? 1 : 0);
  size_t ahead = (caller->waiting + 1) * callers - 1;
  if (ahead > pool->waiting)
    ahead = pool->waiting;
  size_t servers = callers == 1 ? limit_of_caller(pool, caller) : pool->count;
  return pg_may_queue(pool->pg, &pool->limit, ahead, servers);
}

// Tells whether even a caller that has nothing in the queue would be refused: then all callers want too much together.
static bool is_full_for_all(const struct pg_pool *pool)
{
  return !queue_limit_admits(&pool->limit, count_waiting_callers(pool), pool->count, loop_now_us(pool->pg->loop));
}

static enum status refuse_waiter(struct pg_pool *pool, struct pg_caller *caller)
{
  metric_add(pool->pg->refused, 1);
  if (is_full_for_all(pool))
    task_note_full();
  free_idle_caller(pool, caller);
  return STATUS_RESOURCE_EXHAUSTED;
}

// ---- lending ----

static void lend_connection(struct pg_connection *c, struct pg_caller *caller)
{
  c->use = PG_BORROWED;
  c->borrower = caller;
  c->lent_us = loop_now_us(c->pg->loop);
  caller->lent++;
}

static struct pg_connection *find_open(const struct pg_pool *pool)
{
  for (size_t i = 0; i < pool->count; i++)
    if (pool->connections[i].use == PG_POOLED && pg_connection_usable(&pool->connections[i]))
      return &pool->connections[i];
  return NULL;
}

// Returns the caller whose turn it is: the first that may have one more connection.
static struct pg_caller *find_next_caller(const struct pg_pool *pool)
{
  for (const struct list *node = pool->turns.next; node != &pool->turns; node = node->next) {
    struct pg_caller *caller = CONTAINER_OF(node, struct pg_caller, turn);
    if (caller->lent < limit_of_caller(pool, caller))
      return caller;
  }
  return NULL;
}

static void serve_caller(struct pg_pool *pool, struct pg_caller *caller, struct pg_connection *c)
{
  struct pg_pool_waiter *waiter = CONTAINER_OF(caller->waiters.next, struct pg_pool_waiter, node);
  remove_waiter(pool, caller, waiter);
  if (caller->waiting > 0) {
    list_remove(&caller->turn);
    list_append(&pool->turns, &caller->turn);
  }
  lend_connection(c, caller);
  waiter->connection = c;
  completion_finish(&waiter->completion, STATUS_OK);
}

static void serve_waiters(struct pg_pool *pool)
{
  struct pg_caller *caller;
  struct pg_connection *c;
  while ((caller = find_next_caller(pool)) != NULL && (c = find_open(pool)) != NULL)
    serve_caller(pool, caller, c);
}

// Returns how many more connections could be used now.
static size_t count_wanted(const struct pg_pool *pool)
{
  size_t wanted = 0;
  for (const struct list *node = pool->turns.next; node != &pool->turns; node = node->next) {
    const struct pg_caller *caller = CONTAINER_OF(node, struct pg_caller, turn);
    size_t allowed = limit_of_caller(pool, caller) - caller->lent;
    wanted += caller->waiting < allowed ? caller->waiting : allowed;
  }
  return wanted;
}

static bool is_connecting(const struct pg_connection *c)
{
  return c->state == PG_RESOLVING || c->state == PG_REACHING || c->state == PG_CONNECTING;
}

// Opens connections until as many are on their way as could be used.
static void open_for_waiters(struct pg_pool *pool)
{
  size_t wanted = count_wanted(pool);
  size_t connecting = 0;
  for (size_t i = 0; i < pool->count; i++)
    connecting += pool->connections[i].use == PG_POOLED && is_connecting(&pool->connections[i]);
  for (size_t i = 0; i < pool->count && connecting < wanted; i++) {
    struct pg_connection *c = &pool->connections[i];
    if (c->use != PG_POOLED || c->state != PG_CLOSED)
      continue;
    connecting++;
    pg_connection_open(c);
  }
}

// Waits until a connection is lent. The wait ends early when the server is away, so that the caller can be answered.
static enum status wait_while_usable(struct pg_pool *pool, struct completion *lent)
{
  enum status status;
  do {
    uint64_t before = task_tighten_deadline(deadline_after_ms(clock_now_us(), LOOK_AGAIN_MS));
    status = completion_wait(lent);
    task_restore_deadline(before);
  } while (status == STATUS_DEADLINE_EXCEEDED && !lent->done && pg_ready(pool->pg) && task_check() == STATUS_OK);
  return status;
}

static enum status wait_for_connection(struct pg_pool *pool, struct pg_caller *caller,
                                       struct pg_connection **connection)
{
  struct pg_pool_waiter waiter = {.completion = {.what = pool->what}};
  if (!may_wait(pool, caller))
    return refuse_waiter(pool, caller);
  add_waiter(pool, caller, &waiter);
  open_for_waiters(pool);
  enum status status = wait_while_usable(pool, &waiter.completion);
  if (waiter.connection == NULL) {
    remove_waiter(pool, caller, &waiter);
    free_idle_caller(pool, caller);
    return pg_ready(pool->pg) ? status : STATUS_UNAVAILABLE;
  }
  // The connection was lent in the very moment in which the task gave up waiting.
  if (status != STATUS_OK) {
    waiter.connection->lent_us = 0;
    pg_pool_return(waiter.connection);
    return status;
  }
  *connection = waiter.connection;
  return STATUS_OK;
}

enum status pg_pool_borrow(struct pg_pool *pool, bool after_lock, struct pg_connection **connection)
{
  enum status status = pg_wait_usable(pool->pg);
  if (status != STATUS_OK)
    return status;
  struct pg_caller *caller = find_caller(pool, after_lock ? LOCK_RETRIES_KEY : task_caller());
  bool may_have = caller->waiting == 0 && caller->lent < limit_of_caller(pool, caller);
  *connection = may_have ? find_open(pool) : NULL;
  if (*connection == NULL)
    return wait_for_connection(pool, caller, connection);
  lend_connection(*connection, caller);
  return STATUS_OK;
}

// ---- giving back ----

// Sends a statement whose outcome nobody waits for.
static void send_unattended(struct pg_connection *c, const struct pg_statement *statement, enum pg_request_kind kind)
{
  struct pg_request *request = pg_request_create(c->pg, pg_find_statement(c->pg, statement), kind, NULL);
  pg_pipeline_send(c, request);
  pg_request_enter(request, PG_REQUEST_ABANDONED);
  pg_pipeline_flush(c);
}

// Tells whether a connection that was given back can be lent again. Nobody may get it while a cancel request is on its
// way, because that would hit the next task's statement.
static bool is_drained(struct pg_connection *c)
{
  if (c->command_count > 0 || c->cancel != NULL)
    return false;
  if (c->state != PG_OPEN)
    return true;
  pg_cancel_stop(c);
  if (PQtransactionStatus(c->conn) == PQTRANS_IDLE)
    return true;
  send_unattended(c, &ROLLBACK, PG_IN_TRANSACTION);
  return false;
}

void pg_pool_progress(struct pg_connection *c)
{
  if (c->use == PG_BORROWED || (c->use == PG_DRAINING && !is_drained(c)) || pg_fence_end_stale(c))
    return;
  c->use = PG_POOLED;
  serve_waiters(c->pool);
  open_for_waiters(c->pool);
}

void pg_pool_connected(struct pg_connection *c)
{
  if (c->pool->preparation == NULL) {
    pg_pool_progress(c);
    return;
  }
  // Nobody gets the connection before the server has answered, because a cancel request could hit the preparation.
  c->use = PG_DRAINING;
  send_unattended(c, c->pool->preparation, PG_SINGLE);
}

void pg_pool_return(struct pg_connection *c)
{
  CHECK(c->use == PG_BORROWED);
  struct pg_caller *caller = c->borrower;
  uint64_t now_us = loop_now_us(c->pg->loop);
  if (c->lent_us != 0)
    queue_limit_note_service(&c->pool->limit, now_us > c->lent_us ? now_us - c->lent_us : 0);
  c->borrower = NULL;
  caller->lent--;
  free_idle_caller(c->pool, caller);
  c->use = PG_DRAINING;
  pg_pool_progress(c);
}

// ---- running ----

// Tells whether the success of the request alone changes something that stays. What runs in a transaction does not.
static bool has_effect(const struct pg_request *request)
{
  return request->kind == PG_COMMIT || (request->kind == PG_SINGLE && request->entry->statement->lane == PG_LANE_WRITE);
}

// Tells whether the server has refused the request because it takes no writes.
static bool is_refused(const struct pg_request *request)
{
  return request->execution != NULL && slice_equal_string(request->execution->result->sqlstate, PG_READ_ONLY);
}

// Notes for the task what the request did. A connection that ended meanwhile does not tell.
static void note_effect(const struct pg_request *request, enum status status)
{
  if (!has_effect(request))
    return;
  if (status == STATUS_OK)
    task_note_effect(TASK_EFFECT_DONE);
  else if (status == STATUS_UNAVAILABLE && !is_refused(request))
    task_note_effect(TASK_EFFECT_UNKNOWN);
}

uint64_t pg_outcome_deadline_us(void)
{
  return deadline_after_ms(clock_now_us(), OUTCOME_WAIT_MS);
}

static enum status wait_until(struct completion *completion, uint64_t until_us)
{
  uint64_t before = task_deadline_us();
  task_restore_deadline(until_us);
  enum status status = completion_wait(completion);
  task_restore_deadline(before);
  return status;
}

enum status pg_wait_for_answer(struct completion *completion)
{
  return wait_until(completion, task_answer_deadline_us());
}

enum status pg_wait_shielded(struct completion *completion, uint64_t until_us)
{
  task_shield(true);
  enum status status = wait_until(completion, until_us);
  task_shield(false);
  return status;
}

// Ends a request in flight that is overdue or whose caller has left, for `reason`: cancels it in the server, and waits
// for what has really happened where that matters. A COMMIT is not cancelled, because its outcome would be no clearer
// for it. The request is abandoned where its outcome does not matter or does not come.
static enum status end_overdue(struct pg_connection *c, struct pg_request *request, enum status reason)
{
  bool matters = has_effect(request) && request->state == PG_REQUEST_IN_FLIGHT;
  pg_request_enter(request, matters ? PG_REQUEST_OVERDUE : PG_REQUEST_ABANDONED);
  if (request->kind != PG_COMMIT)
    pg_cancel_start(c);
  if (!matters)
    return reason;
  enum status status = pg_wait_shielded(&request->completion, pg_outcome_deadline_us());
  if (!request->completion.done) {
    task_note_effect(TASK_EFFECT_UNKNOWN);
    pg_request_enter(request, PG_REQUEST_ABANDONED);
    return reason;
  }
  // The server has ended the statement, because of the cancel or of a lock, and has changed nothing.
  return status == STATUS_DEADLINE_EXCEEDED || status == STATUS_ABORTED ? reason : status;
}

static enum status send_and_wait(struct pg_connection *c, struct pg_request *request)
{
  pg_pipeline_send(c, request);
  pg_pipeline_flush(c);
  request->completion.what = request->entry->statement->name;
  enum status status = pg_wait_for_answer(&request->completion);
  if (!request->completion.done)
    status = end_overdue(c, request, status);
  if (request->state != PG_REQUEST_ABANDONED)
    note_effect(request, status);
  return status;
}

enum status pg_pool_run(struct pg_connection *c, struct pg_request *request)
{
  enum status status = STATUS_UNAVAILABLE;
  while (pg_connection_established(c)) {
    status = send_and_wait(c, request);
    if (request->state == PG_REQUEST_ABANDONED)
      return status;
    bool retry = request->state == PG_REQUEST_RETRY;
    pg_request_reset(request);
    if (!retry)
      break;
    status = task_check();
    if (status != STATUS_OK)
      break;
    status = STATUS_UNAVAILABLE;
  }
  pg_request_free(c->pg, &request);
  return status;
}
