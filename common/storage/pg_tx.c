// Transactions, each on a connection of its own. BEGIN travels with the first statement, so it costs no round trip; the
// roll-back waits for nobody: the connection goes back at once, and the pool rolls back what is open on it.
#include <stdlib.h>

#include "common/base/check.h"
#include "common/storage/pg_internal.h"

struct pg_tx {
  struct pg_connection *connection;
  bool begun;
  bool failed;  // only the roll-back is left
};

static const struct pg_statement BEGIN = {.name = "BEGIN", .sql = "BEGIN"};
static const struct pg_statement COMMIT = {.name = "COMMIT", .sql = "COMMIT"};

enum status pg_begin(struct pg *pg, struct pg_tx **tx)
{
  *tx = NULL;
  struct pg_connection *connection = NULL;
  enum status status = pg_exclusive_borrow(pg, &connection);
  if (status != STATUS_OK)
    return status;
  struct pg_tx *made = calloc(1, sizeof(*made));
  CHECK(made != NULL);
  made->connection = connection;
  *tx = made;
  return STATUS_OK;
}

static void end(struct pg_tx **tx)
{
  pg_exclusive_return((*tx)->connection);
  free(*tx);
  *tx = NULL;
}

static enum status run(struct pg_tx *tx, struct pg_request *request)
{
  struct pg_connection *c = tx->connection;
  request->alone = true;
  request->in_transaction = true;
  if (!tx->begun && c->state == PG_OPEN) {
    struct pg_request *begin = pg_request_new(c->pg, &BEGIN);
    begin->in_transaction = true;
    pg_pipeline_send_ahead(c, begin);
    tx->begun = true;
  }
  enum status status = pg_exclusive_run(c, request);
  tx->failed = status != STATUS_OK;
  return status;
}

enum status pg_tx_query(struct pg_tx *tx, const struct pg_statement *statement, const struct pg_params *params,
                        struct arena *arena, struct pg_result *result)
{
  *result = (struct pg_result){0};
  if (tx->failed)
    return STATUS_ABORTED;
  struct pg *pg = tx->connection->pg;
  uint64_t started_us = loop_now_us(pg->loop);
  enum status status = task_check();
  if (status != STATUS_OK) {
    tx->failed = true;
    return status;
  }
  struct pg_request *request = pg_request_new(pg, statement);
  struct pg_known *known = request->known;
  request->params = params;
  request->arena = arena;
  request->result = result;
  status = run(tx, request);
  pg_known_ended(pg, known, status, started_us);
  return status;
}

// A COMMIT that was sent is not cancelled in the server: it would leave the outcome no clearer.
static enum status commit(struct pg_tx *tx, struct arena *arena)
{
  struct pg_connection *c = tx->connection;
  struct pg_result *result = arena_zalloc(arena, sizeof(*result));
  struct pg_request *request = pg_request_new(c->pg, &COMMIT);
  request->arena = arena;
  request->result = result;
  request->commit = true;
  task_shield(true);
  enum status status = run(tx, request);
  task_shield(false);
  return status;
}

enum status pg_commit(struct pg_tx **tx)
{
  enum status status = (*tx)->failed ? STATUS_ABORTED : task_check();
  if (status == STATUS_OK && (*tx)->begun) {
    struct arena arena = {0};
    status = commit(*tx, &arena);
    arena_free(&arena);
  }
  end(tx);
  return status;
}

void pg_rollback(struct pg_tx **tx)
{
  if (tx != NULL && *tx != NULL)
    end(tx);
}
