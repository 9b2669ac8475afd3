// The connections that are borrowed whole: for transactions, and for statements that may take long. Made on demand up
// to the cap, kept afterwards; those who wait are served first come, first served.
#include "common/base/check.h"
#include "common/observe/log.h"
#include "common/storage/pg_internal.h"

// On the stack of the task that waits.
struct pg_exclusive_waiter {
  struct list node;
  struct completion completion;
  struct pg_connection *connection;
};

static const struct pg_statement ROLLBACK = {.name = "ROLLBACK", .sql = "ROLLBACK"};

static void lend(struct pg_connection *c)
{
  c->use = PG_BORROWED;
  c->pg->borrowed++;
}

static struct pg_exclusive_waiter *first_waiter(struct pg *pg)
{
  if (list_empty(&pg->exclusive_waiters))
    return NULL;
  return CONTAINER_OF(pg->exclusive_waiters.next, struct pg_exclusive_waiter, node);
}

// As many as wait are to be open or on their way.
static void open_for_waiters(struct pg *pg)
{
  size_t wanted = 0;
  for (struct list *node = pg->exclusive_waiters.next; node != &pg->exclusive_waiters; node = node->next)
    wanted++;
  size_t connecting = 0;
  for (size_t i = 0; i < pg->exclusive_count; i++)
    connecting += pg->exclusive[i].use == PG_UNUSED && pg->exclusive[i].state == PG_CONNECTING;
  for (size_t i = 0; i < pg->exclusive_count && connecting < wanted; i++) {
    struct pg_connection *c = &pg->exclusive[i];
    if (c->use != PG_UNUSED || c->state != PG_CLOSED || c->resting)
      continue;
    connecting++;
    pg_connection_open(c);
  }
}

static void give_to_waiter(struct pg_connection *c)
{
  struct pg_exclusive_waiter *waiter = first_waiter(c->pg);
  if (waiter == NULL)
    return;
  list_remove(&waiter->node);
  waiter->connection = c;
  lend(c);
  completion_finish(&waiter->completion, STATUS_OK);
}

static void roll_back(struct pg_connection *c)
{
  struct pg_request *request = pg_request_new(c->pg, &ROLLBACK);
  request->alone = true;
  request->in_transaction = true;
  request->abandoned = true;
  pg_pipeline_send(c, request);
  pg_pipeline_flush(c);
}

void pg_exclusive_progress(struct pg_connection *c)
{
  if (c->use == PG_BORROWED)
    return;
  if (c->use == PG_DRAINING) {
    if (c->step_count > 0 || c->cancel != NULL)
      return;
    if (c->state == PG_OPEN && PQtransactionStatus(c->conn) != PQTRANS_IDLE) {
      roll_back(c);
      return;
    }
    c->use = PG_UNUSED;
  }
  if (c->state == PG_OPEN)
    give_to_waiter(c);
  open_for_waiters(c->pg);
}

void pg_exclusive_return(struct pg_connection *c)
{
  CHECK(c->use == PG_BORROWED);
  c->pg->borrowed--;
  c->use = PG_DRAINING;
  pg_exclusive_progress(c);
}

enum status pg_exclusive_borrow(struct pg *pg, struct pg_connection **connection)
{
  enum status status = pg_wait_usable(pg);
  if (status != STATUS_OK)
    return status;
  for (size_t i = 0; i < pg->exclusive_count && list_empty(&pg->exclusive_waiters); i++) {
    struct pg_connection *c = &pg->exclusive[i];
    if (c->use != PG_UNUSED || c->state != PG_OPEN)
      continue;
    lend(c);
    *connection = c;
    return STATUS_OK;
  }
  struct pg_exclusive_waiter waiter = {.completion = COMPLETION_INIT};
  list_append(&pg->exclusive_waiters, &waiter.node);
  open_for_waiters(pg);
  status = completion_wait(&waiter.completion);
  if (waiter.connection == NULL) {
    list_remove(&waiter.node);
    return pg_ready(pg) ? status : STATUS_UNAVAILABLE;
  }
  // Lent in the same moment in which the wait was given up.
  if (status != STATUS_OK) {
    pg_exclusive_return(waiter.connection);
    return status;
  }
  *connection = waiter.connection;
  return STATUS_OK;
}

enum status pg_exclusive_run(struct pg_connection *c, struct pg_request *request)
{
  for (;;) {
    if (c->state != PG_OPEN) {
      pg_request_release(c->pg, request);
      return STATUS_UNAVAILABLE;
    }
    pg_pipeline_send(c, request);
    pg_pipeline_flush(c);
    enum status status = completion_wait(&request->completion);
    if (!request->completion.done) {
      request->abandoned = true;
      if (!request->commit)
        pg_cancel_start(c);
      return status;
    }
    if (!request->again) {
      status = request->completion.status;
      pg_request_release(c->pg, request);
      return status;
    }
    pg_request_reset(request);
  }
}
