// Transactions, each on a connection of its own from the pool for writes. BEGIN travels with the first statement, so it
// costs no round trip. A rollback does not wait: the connection goes back at once, and the pool rolls back what is open
// on it. A first statement that cannot have a lock is repeated on another connection, because nothing was done before
// it.
#include <stdlib.h>

#include "common/base/check.h"
#include "common/storage/pg_internal.h"

enum tx_state {
  TX_NEW,  // BEGIN has not been sent
  TX_BEGUN,
  TX_FAILED,  // only the rollback is left
};

struct pg_tx {
  struct pg *pg;
  struct pg_connection *connection;  // NULL while it is given back because of a lock
  enum tx_state state;
};

static const struct pg_statement BEGIN = {.name = "BEGIN", .sql = "BEGIN"};
static const struct pg_statement COMMIT = {.name = "COMMIT", .sql = "COMMIT"};

enum status pg_begin(struct pg *pg, struct pg_tx **tx)
{
  *tx = NULL;
  struct pg_connection *connection = NULL;
  enum status status = pg_pool_borrow(&pg->writes, false, &connection);
  if (status != STATUS_OK)
    return pg_note_cause(pg, BEGIN.name, status);
  struct pg_tx *made = calloc(1, sizeof(*made));
  CHECK(made != NULL);
  made->pg = pg;
  made->connection = connection;
  *tx = made;
  return STATUS_OK;
}

static void return_connection(struct pg_tx *tx)
{
  if (tx->connection != NULL)
    pg_pool_return(tx->connection);
  tx->connection = NULL;
}

static void free_tx(struct pg_tx **tx)
{
  return_connection(*tx);
  free(*tx);
  *tx = NULL;
}

static void send_begin(struct pg_tx *tx)
{
  struct pg_connection *c = tx->connection;
  struct pg_request *begin = pg_request_create(c->pg, pg_find_statement(c->pg, &BEGIN), PG_BEGIN, NULL);
  pg_pipeline_send(c, begin);
  pg_request_enter(begin, PG_REQUEST_ABANDONED);
  tx->state = TX_BEGUN;
}

static enum status run_statement(struct pg_tx *tx, struct pg_execution *execution, enum pg_request_kind kind)
{
  // The clock itself is read, right before the statement is sent.
  enum status status = task_check();
  if (status == STATUS_OK) {
    if (tx->state == TX_NEW && pg_connection_established(tx->connection))
      send_begin(tx);
    struct pg_statement_entry *entry = pg_find_statement(tx->pg, execution->statement);
    status = pg_pool_run(tx->connection, pg_request_create(tx->pg, entry, kind, execution));
  }
  if (status != STATUS_OK)
    tx->state = TX_FAILED;
  return status;
}

static enum status renew_connection(struct pg_tx *tx)
{
  return_connection(tx);
  tx->state = TX_NEW;
  return pg_pool_borrow(&tx->pg->writes, true, &tx->connection);
}

// Runs the first statement, on one connection after the other as long as it cannot have a lock.
static enum status run_first(struct pg_tx *tx, struct pg_execution *execution)
{
  struct pg_lock_retry retry = pg_lock_retry_begin(tx->pg);
  enum status status = run_statement(tx, execution, PG_IN_TRANSACTION);
  while (status == STATUS_ABORTED) {
    return_connection(tx);
    if (!pg_lock_retry_next(&retry, execution->result, &status))
      break;
    status = renew_connection(tx);
    if (status == STATUS_OK)
      status = run_statement(tx, execution, PG_IN_TRANSACTION);
  }
  if (status != STATUS_OK)
    tx->state = TX_FAILED;
  return status;
}

enum status pg_tx_query(struct pg_tx *tx, const struct pg_statement *statement, const struct pg_params *params,
                        struct arena *arena, struct pg_result *result)
{
  *result = (struct pg_result){0};
  if (tx->state == TX_FAILED)
    return STATUS_ABORTED;
  uint64_t started_us = loop_now_us(tx->pg->loop);
  struct pg_execution execution = {.statement = statement, .params = params, .arena = arena, .result = result};
  enum status status =
      tx->state == TX_NEW ? run_first(tx, &execution) : run_statement(tx, &execution, PG_IN_TRANSACTION);
  // Nothing more can run on the connection, and the caller may need another one to deal with the failure.
  if (tx->state == TX_FAILED)
    return_connection(tx);
  pg_log_failure(statement, &execution.failure);
  pg_count_outcome(tx->pg, pg_find_statement(tx->pg, statement), status, started_us);
  return pg_note_cause(tx->pg, statement->name, status);
}

bool pg_tx_failed(const struct pg_tx *tx)
{
  return tx->state == TX_FAILED;
}

// A COMMIT that was sent is not given up when the task is cancelled, because its outcome would be unknown.
static enum status send_commit(struct pg_tx *tx)
{
  struct arena arena = {0};
  struct pg_result result;
  struct pg_execution execution = {.statement = &COMMIT, .arena = &arena, .result = &result};
  task_shield(true);
  enum status status = run_statement(tx, &execution, PG_COMMIT);
  task_shield(false);
  pg_log_failure(&COMMIT, &execution.failure);
  arena_free(&arena);
  return status;
}

enum status pg_commit(struct pg_tx **tx)
{
  enum status status = (*tx)->state == TX_FAILED ? STATUS_ABORTED : task_check();
  if (status == STATUS_OK && (*tx)->state == TX_BEGUN)
    status = pg_note_cause((*tx)->pg, COMMIT.name, send_commit(*tx));
  free_tx(tx);
  return status;
}

void pg_rollback(struct pg_tx **tx)
{
  if (tx != NULL && *tx != NULL)
    free_tx(tx);
}
