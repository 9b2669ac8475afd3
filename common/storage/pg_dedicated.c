// The pool of dedicated connections. They are opened on demand up to the cap and kept open; waiting tasks are served
// first come, first served.
#include "common/base/check.h"
#include "common/storage/pg_internal.h"

// Lies on the stack of the task that waits.
struct pg_dedicated_waiter {
  struct list node;
  struct completion completion;
  struct pg_connection *connection;
};

static const struct pg_statement ROLLBACK = {.name = "ROLLBACK", .sql = "ROLLBACK"};

static void lend_connection(struct pg_connection *c)
{
  c->use = PG_BORROWED;
  c->pg->borrowed_count++;
}

static size_t count_waiters(const struct pg *pg)
{
  size_t waiters = 0;
  for (const struct list *node = pg->dedicated_waiters.next; node != &pg->dedicated_waiters; node = node->next)
    waiters++;
  return waiters;
}

static bool is_connecting(const struct pg_connection *c)
{
  return c->state == PG_RESOLVING || c->state == PG_CONNECTING;
}

// Opens connections until as many are on their way as tasks wait.
static void open_for_waiters(struct pg *pg)
{
  size_t wanted = count_waiters(pg);
  size_t connecting = 0;
  for (size_t i = 0; i < pg->dedicated_count; i++)
    connecting += pg->dedicated[i].use == PG_POOLED && is_connecting(&pg->dedicated[i]);
  for (size_t i = 0; i < pg->dedicated_count && connecting < wanted; i++) {
    struct pg_connection *c = &pg->dedicated[i];
    if (c->use != PG_POOLED || c->state != PG_CLOSED)
      continue;
    connecting++;
    pg_connection_open(c);
  }
}

static void serve_first_waiter(struct pg_connection *c)
{
  if (list_empty(&c->pg->dedicated_waiters))
    return;
  struct pg_dedicated_waiter *waiter = CONTAINER_OF(c->pg->dedicated_waiters.next, struct pg_dedicated_waiter, node);
  list_remove(&waiter->node);
  waiter->connection = c;
  lend_connection(c);
  completion_finish(&waiter->completion, STATUS_OK);
}

static void send_rollback(struct pg_connection *c)
{
  struct pg_request *request = pg_request_create(c->pg, pg_find_statement(c->pg, &ROLLBACK), PG_IN_TRANSACTION, NULL);
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
  loop_timer_stop(c->reconnect.timer);  // no cancel request is repeated any more
  if (PQtransactionStatus(c->conn) == PQTRANS_IDLE)
    return true;
  send_rollback(c);
  return false;
}

void pg_dedicated_progress(struct pg_connection *c)
{
  if (c->use == PG_BORROWED || (c->use == PG_DRAINING && !is_drained(c)))
    return;
  c->use = PG_POOLED;
  if (c->state == PG_OPEN)
    serve_first_waiter(c);
  open_for_waiters(c->pg);
}

void pg_dedicated_return(struct pg_connection *c)
{
  CHECK(c->use == PG_BORROWED);
  c->pg->borrowed_count--;
  c->use = PG_DRAINING;
  pg_dedicated_progress(c);
}

static struct pg_connection *find_open(struct pg *pg)
{
  for (size_t i = 0; i < pg->dedicated_count; i++)
    if (pg->dedicated[i].use == PG_POOLED && pg->dedicated[i].state == PG_OPEN)
      return &pg->dedicated[i];
  return NULL;
}

static enum status wait_for_connection(struct pg *pg, struct pg_connection **connection)
{
  struct pg_dedicated_waiter waiter = {.completion = {.what = "a dedicated connection to PostgreSQL"}};
  list_append(&pg->dedicated_waiters, &waiter.node);
  open_for_waiters(pg);
  enum status status = completion_wait(&waiter.completion);
  if (waiter.connection == NULL) {
    list_remove(&waiter.node);
    return pg_ready(pg) ? status : STATUS_UNAVAILABLE;
  }
  // The connection was lent in the very moment in which the task gave up waiting.
  if (status != STATUS_OK) {
    pg_dedicated_return(waiter.connection);
    return status;
  }
  *connection = waiter.connection;
  return STATUS_OK;
}

enum status pg_dedicated_borrow(struct pg *pg, struct pg_connection **connection)
{
  enum status status = pg_wait_usable(pg);
  if (status != STATUS_OK)
    return status;
  *connection = list_empty(&pg->dedicated_waiters) ? find_open(pg) : NULL;
  if (*connection == NULL)
    return wait_for_connection(pg, connection);
  lend_connection(*connection);
  return STATUS_OK;
}

// A COMMIT is not cancelled, because the outcome would be no clearer for it.
static void abandon_request(struct pg_connection *c, struct pg_request *request)
{
  bool is_commit = request->kind == PG_COMMIT;
  pg_request_enter(request, PG_REQUEST_ABANDONED);
  if (!is_commit)
    pg_cancel_start(c);
}

enum status pg_dedicated_run(struct pg_connection *c, struct pg_request *request)
{
  enum status status = STATUS_UNAVAILABLE;
  while (pg_connection_established(c)) {
    pg_pipeline_send(c, request);
    pg_pipeline_flush(c);
    request->completion.what = request->entry->statement->name;
    status = completion_wait(&request->completion);
    if (!request->completion.done) {
      abandon_request(c, request);
      return status;
    }
    bool retry = request->state == PG_REQUEST_RETRY;
    pg_request_reset(request);
    if (!retry)
      break;
    status = STATUS_UNAVAILABLE;
  }
  pg_request_free(c->pg, &request);
  return status;
}
