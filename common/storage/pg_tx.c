// Transactions, each on a dedicated connection. BEGIN travels with the first statement, so it costs no round trip. A
// rollback does not wait: the connection goes back at once, and the pool rolls back what is open on it.
#include <stdlib.h>

#include "common/base/check.h"
#include "common/storage/pg_internal.h"

enum tx_state {
  TX_NEW,  // BEGIN has not been sent
  TX_BEGUN,
  TX_FAILED,  // only the rollback is left
};

struct pg_tx {
  struct pg_connection *connection;
  enum tx_state state;
};

static const struct pg_statement BEGIN = {.name = "BEGIN", .sql = "BEGIN"};
static const struct pg_statement COMMIT = {.name = "COMMIT", .sql = "COMMIT"};

enum status pg_begin(struct pg *pg, struct pg_tx **tx)
{
  *tx = NULL;
  struct pg_connection *connection = NULL;
  enum status status = pg_dedicated_borrow(pg, &connection);
  if (status != STATUS_OK)
    return status;
  struct pg_tx *made = calloc(1, sizeof(*made));
  CHECK(made != NULL);
  made->connection = connection;
  *tx = made;
  return STATUS_OK;
}

static void free_tx(struct pg_tx **tx)
{
  pg_dedicated_return((*tx)->connection);
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

static enum status run_request(struct pg_tx *tx, struct pg_request *request)
{
  if (tx->state == TX_NEW && pg_connection_established(tx->connection))
    send_begin(tx);
  enum status status = pg_dedicated_run(tx->connection, request);
  if (status != STATUS_OK)
    tx->state = TX_FAILED;
  return status;
}

static enum status run_statement(struct pg_tx *tx, struct pg_execution *execution, enum pg_request_kind kind)
{
  struct pg *pg = tx->connection->pg;
  struct pg_statement_entry *entry = pg_find_statement(pg, execution->statement);
  enum status status = run_request(tx, pg_request_create(pg, entry, kind, execution));
  pg_log_failure(execution->statement, &execution->failure);
  return status;
}

enum status pg_tx_query(struct pg_tx *tx, const struct pg_statement *statement, const struct pg_params *params,
                        struct arena *arena, struct pg_result *result)
{
  *result = (struct pg_result){0};
  if (tx->state == TX_FAILED)
    return STATUS_ABORTED;
  struct pg *pg = tx->connection->pg;
  uint64_t started_us = loop_now_us(pg->loop);
  enum status status = task_check();
  if (status != STATUS_OK) {
    tx->state = TX_FAILED;
    return status;
  }
  struct pg_execution execution = {.statement = statement, .params = params, .arena = arena, .result = result};
  status = run_statement(tx, &execution, PG_IN_TRANSACTION);
  pg_count_outcome(pg, pg_find_statement(pg, statement), status, started_us);
  return status;
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
  arena_free(&arena);
  return status;
}

enum status pg_commit(struct pg_tx **tx)
{
  enum status status = (*tx)->state == TX_FAILED ? STATUS_ABORTED : task_check();
  if (status == STATUS_OK && (*tx)->state == TX_BEGUN)
    status = send_commit(*tx);
  free_tx(tx);
  return status;
}

void pg_rollback(struct pg_tx **tx)
{
  if (tx != NULL && *tx != NULL)
    free_tx(tx);
}
