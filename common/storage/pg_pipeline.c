// What is under way on one connection. libpq's pipeline mode gives answers in the order of the questions; `steps` says
// whose each one is.
//
// Groups. A Sync ends an implicit transaction, and libpq 15 writes to the socket at each. Read-only statements that
// were queued in one turn of the loop share one Sync: one write for all. An error aborts those behind it in the same
// group (PGRES_PIPELINE_ABORTED: the server skipped them), so they are sent again, each with a Sync of its own. All
// other statements have their own Sync from the start, and their outcome is known only with it, for that is where the
// server commits.
//
// Prepared statements. Parse goes ahead of the first use on a connection, in the same group. When it fails, the failure
// is that of the statement which asked; the name is given up. A statement that used the name meanwhile gets 26000
// (no such prepared statement), and a changed table gives 0A000 (cached plan must not change result type): in both
// cases nothing of it was done or all was rolled back, so it is sent once more, prepared anew, whether it writes or
// not. Inside a transaction that is not possible; there it is ABORTED, and the whole transaction may be tried again.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/observe/log.h"
#include "common/storage/pg_internal.h"

// ---- steps ----

static void push(struct pg_connection *c, enum pg_step_kind kind, struct pg_request *request)
{
  if (c->step_count == c->step_capacity) {
    size_t capacity = c->step_capacity == 0 ? 64 : c->step_capacity * 2;
    struct pg_step *steps = malloc(capacity * sizeof(*steps));
    CHECK(steps != NULL);
    for (size_t i = 0; i < c->step_count; i++)
      steps[i] = c->steps[(c->first_step + i) & (c->step_capacity - 1)];
    free(c->steps);
    c->steps = steps;
    c->first_step = 0;
    c->step_capacity = capacity;
  }
  c->steps[(c->first_step + c->step_count++) & (c->step_capacity - 1)] = (struct pg_step){kind, request};
}

static void pop(struct pg_connection *c)
{
  c->first_step = (c->first_step + 1) & (c->step_capacity - 1);
  c->step_count--;
}

static struct pg_prepared *prepared_of(struct pg_connection *c, const struct pg_known *known)
{
  if (known->index >= c->prepared_count) {
    size_t count = known->index + 16;
    struct pg_prepared *prepared = realloc(c->prepared, count * sizeof(*prepared));
    CHECK(prepared != NULL);
    for (size_t i = c->prepared_count; i < count; i++)
      prepared[i] = (struct pg_prepared){0};
    c->prepared = prepared;
    c->prepared_count = count;
  }
  return &c->prepared[known->index];
}

// Unless somebody has done so already since this generation was sent.
static void give_up_prepared(struct pg_connection *c, const struct pg_request *request)
{
  struct pg_prepared *prepared = prepared_of(c, request->known);
  if (prepared->generation == request->generation)
    *prepared = (struct pg_prepared){.sent = false, .generation = prepared->generation + 1};
}

// ---- sending ----

static void send_failed(struct pg_connection *c)
{
  c->failing = true;
}

static void send_sync(struct pg_connection *c, struct pg_request *request)
{
  push(c, PG_STEP_SYNC, request);
  c->reads_open = false;
  if (!c->failing && PQpipelineSync(c->conn) != 1)
    send_failed(c);
}

static void send_prepared(struct pg_connection *c, const struct pg_request *request, const char *name)
{
  static const struct pg_params NONE;
  const struct pg_params *params = request->params == NULL ? &NONE : request->params;
  if (!PQsendQueryPrepared(c->conn, name, (int)params->count, params->values, params->lengths, params->formats, 0))
    send_failed(c);
}

static void send_query(struct pg_connection *c, struct pg_request *request)
{
  const struct pg_statement *statement = request->known->statement;
  struct pg_prepared *prepared = prepared_of(c, request->known);
  // The name may be on its way down again by somebody else's failing Parse; this one's outcome is to be its own.
  if (request->fresh)
    *prepared = (struct pg_prepared){.generation = prepared->generation + 1};
  char renamed[80];
  const char *name = statement->name;
  if (prepared->generation > 0) {
    snprintf(renamed, sizeof(renamed), "%.60s~%u", name, prepared->generation);
    name = renamed;
  }
  request->generation = prepared->generation;
  request->answered = false;
  if (!prepared->sent) {
    prepared->sent = true;
    push(c, PG_STEP_PREPARE, request);
    size_t count = request->params == NULL ? 0 : request->params->count;
    const unsigned *types = request->params == NULL ? NULL : request->params->types;
    if (!c->failing && !PQsendPrepare(c->conn, name, statement->sql, (int)count, types))
      send_failed(c);
  }
  push(c, PG_STEP_QUERY, request);
  c->in_flight++;
  if (!c->failing)
    send_prepared(c, request, name);
}

void pg_pipeline_send(struct pg_connection *c, struct pg_request *request)
{
  if (!request->alone) {
    send_query(c, request);
    c->reads_open = true;
    return;
  }
  if (c->reads_open)
    send_sync(c, NULL);
  send_query(c, request);
  send_sync(c, request);
}

void pg_pipeline_send_ahead(struct pg_connection *c, struct pg_request *request)
{
  request->abandoned = true;
  request->alone = false;
  send_query(c, request);
}

void pg_pipeline_flush(struct pg_connection *c)
{
  if (c->state != PG_OPEN)
    return;
  if (c->reads_open)
    send_sync(c, NULL);
  int left = c->failing ? -1 : PQflush(c->conn);
  if (left < 0)
    pg_connection_break(c, PQerrorMessage(c->conn));
  else
    pg_connection_watch(c, left > 0);
}

// ---- results ----

static void log_failure(const struct pg_request *request, const PGresult *result, const char *sqlstate)
{
  // The primary message only: details quote values.
  const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
  log_error("postgres", "statement failed", LOG_STRING("statement", request->known->statement->name),
            LOG_STRING("sqlstate", sqlstate == NULL ? "" : sqlstate),
            LOG_STRING("reason", message == NULL ? "" : message));
}

static bool prepared_is_gone(const char *sqlstate)
{
  return sqlstate != NULL && (strcmp(sqlstate, "26000") == 0 || strcmp(sqlstate, "0A000") == 0);
}

// The request's own error, from whichever of its steps.
static void take_error(struct pg_connection *c, struct pg_request *request, const PGresult *result)
{
  const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  request->status = pg_sqlstate_status(sqlstate);
  if (prepared_is_gone(sqlstate)) {
    give_up_prepared(c, request);
    request->again = !request->in_transaction && !request->fresh && !request->abandoned;
    request->fresh = request->again;
    if (request->in_transaction)
      request->status = STATUS_ABORTED;
  }
  if (c->group_error == STATUS_OK)
    c->group_error = request->status;
  if (request->status == STATUS_INTERNAL && !request->again)
    log_failure(request, result, sqlstate);
  if (!request->abandoned)
    pg_result_fill_error(request->result, request->arena, result);
}

// Skipped by the server because of an error before it in its group.
static void take_abort(struct pg_connection *c, struct pg_request *request)
{
  if (request->status != STATUS_OK)  // its own Parse failed
    return;
  if (c->use == PG_SHARED && !request->alone)
    request->again = !request->abandoned;
  else
    request->status = c->group_error == STATUS_OK ? STATUS_ABORTED : c->group_error;
}

static void take_query_result(struct pg_connection *c, struct pg_request *request, const PGresult *result)
{
  switch (PQresultStatus(result)) {
  case PGRES_COMMAND_OK:
  case PGRES_TUPLES_OK:
    if (!request->abandoned)
      pg_result_fill(request->result, request->arena, result);
    // COMMIT of a failed transaction is no error to the server: it answers with what it did instead.
    if (request->commit && strcmp(PQcmdStatus((PGresult *)(uintptr_t)result), "COMMIT") != 0)
      request->status = STATUS_ABORTED;
    break;
  case PGRES_PIPELINE_ABORTED:
    take_abort(c, request);
    break;
  case PGRES_FATAL_ERROR:
  case PGRES_BAD_RESPONSE:
    take_error(c, request, result);
    break;
  default:  // COPY and the like: the connection is not in a state that we know
    log_error("postgres", "statement kind not supported", LOG_STRING("statement", request->known->statement->name));
    request->status = STATUS_INTERNAL;
    c->failing = true;
    break;
  }
}

static void finish(struct pg_connection *c, struct pg_request *request)
{
  // On a borrowed connection it is the borrower who sends it again.
  if (request->again && !request->abandoned && c->use == PG_SHARED)
    pg_request_again(c->pg, request);
  else
    pg_request_finish(c->pg, request, request->status);
}

static void take_sync_result(struct pg_connection *c, struct pg_request *request, const PGresult *result)
{
  if (PQresultStatus(result) != PGRES_PIPELINE_SYNC) {
    // The commit itself failed, a deferred constraint for one.
    if (request != NULL)
      take_error(c, request, result);
    return;
  }
  pop(c);
  c->group_error = STATUS_OK;
  if (request != NULL)
    finish(c, request);
}

static void take_prepare_result(struct pg_connection *c, struct pg_request *request, const PGresult *result)
{
  if (PQresultStatus(result) == PGRES_COMMAND_OK)
    return;
  if (PQresultStatus(result) != PGRES_PIPELINE_ABORTED)
    take_error(c, request, result);
  give_up_prepared(c, request);
}

// NULL: the end of this step. A Sync has none.
static void take_end(struct pg_connection *c, struct pg_step step)
{
  pop(c);
  if (step.kind != PG_STEP_QUERY)
    return;
  c->in_flight--;
  if (!step.request->alone)
    finish(c, step.request);
}

static void take_result(struct pg_connection *c, const PGresult *result)
{
  struct pg_step step = c->steps[c->first_step];
  if (result == NULL) {
    if (step.kind != PG_STEP_SYNC)
      take_end(c, step);
  } else if (step.kind == PG_STEP_SYNC) {
    take_sync_result(c, step.request, result);
  } else if (step.kind == PG_STEP_QUERY) {
    step.request->answered = true;
    take_query_result(c, step.request, result);
  } else {
    take_prepare_result(c, step.request, result);
  }
}

// True when the connection is gone and this is no answer of the server: libpq makes up an error without SQLSTATE.
static bool connection_lost(const struct pg_connection *c, const PGresult *result)
{
  if (PQstatus(c->conn) != CONNECTION_BAD)
    return false;
  if (result != NULL)
    return PQresultStatus(result) == PGRES_FATAL_ERROR && PQresultErrorField(result, PG_DIAG_SQLSTATE) == NULL;
  struct pg_step step = c->steps[c->first_step];
  return step.kind == PG_STEP_SYNC || (step.kind == PG_STEP_QUERY && !step.request->answered);
}

void pg_pipeline_receive(struct pg_connection *c)
{
  bool readable = PQconsumeInput(c->conn) == 1;
  // What has arrived counts, also when the connection broke behind it: an answered commit is a commit.
  bool lost = false;
  while (!lost && !c->failing && !PQisBusy(c->conn) && c->step_count > 0) {
    PGresult *result = PQgetResult(c->conn);
    lost = connection_lost(c, result);
    if (!lost)
      take_result(c, result);
    PQclear(result);
  }
  if (lost || !readable || c->failing || PQstatus(c->conn) == CONNECTION_BAD)
    pg_connection_break(c, PQerrorMessage(c->conn));
  else
    pg_connection_watch(c, PQflush(c->conn) > 0);
  if (c->use == PG_DRAINING)
    pg_exclusive_progress(c);
}

void pg_pipeline_fail(struct pg_connection *c)
{
  while (c->step_count > 0) {
    struct pg_step step = c->steps[c->first_step];
    pop(c);
    // One that has a Sync of its own is finished there, once.
    bool last = step.kind == PG_STEP_SYNC ? step.request != NULL : step.kind == PG_STEP_QUERY && !step.request->alone;
    if (!last)
      continue;
    step.request->lost = step.request->status == STATUS_OK;
    pg_request_finish(c->pg, step.request, step.request->lost ? STATUS_UNAVAILABLE : step.request->status);
  }
  c->in_flight = 0;
  c->reads_open = false;
  c->failing = false;
  c->group_error = STATUS_OK;
}
