// What is in flight on one connection. In libpq's pipeline mode results arrive in the order of the commands; `commands`
// tells which request each result belongs to.
//
// Groups. A Sync ends an implicit transaction, and libpq 15 writes to the socket at each Sync. The reads that one turn
// of the loop sends on a connection share one Sync, and so one write. An error aborts the commands behind it in its
// group: the server skips them (PGRES_PIPELINE_ABORTED). The skipped reads are retried, each with a Sync of its own. So
// is a read that was hit by the cancel request for a neighbour; its caller's deadline ends that.
// Every other statement has its own Sync from the start. Its outcome is known only with that Sync, because the server
// commits there.
//
// Prepared statements. Parse travels in front of the first use on a connection, in the same group. When Parse fails,
// the request that sent it fails, and the name is given up. A request that used the name meanwhile gets 26000 (prepared
// statement does not exist). A table that was altered gives 0A000 (cached plan must not change result type). In both
// cases the server has done nothing of the statement or rolled all of it back, so the request is retried once with a
// new Parse, whether it writes or not. Inside a transaction a retry is impossible: the request is ABORTED there, and
// the whole transaction may be retried.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/observe/log.h"
#include "common/storage/pg_channel_internal.h"
#include "common/storage/pg_internal.h"
#include "common/storage/pg_sqlstate_internal.h"

// ---- the command queue ----

static void grow_commands(struct pg_connection *c)
{
  enum { FIRST_CAPACITY = 64 };
  size_t capacity = c->command_capacity == 0 ? FIRST_CAPACITY : c->command_capacity * 2;
  struct pg_command *commands = malloc(capacity * sizeof(*commands));
  CHECK(commands != NULL);
  for (size_t i = 0; i < c->command_count; i++)
    commands[i] = c->commands[(c->first_command + i) & (c->command_capacity - 1)];
  free(c->commands);
  c->commands = commands;
  c->first_command = 0;
  c->command_capacity = capacity;
}

static void push_command(struct pg_connection *c, enum pg_command_kind kind, struct pg_request *request)
{
  if (c->command_count == c->command_capacity)
    grow_commands(c);
  c->commands[(c->first_command + c->command_count++) & (c->command_capacity - 1)] =
      (struct pg_command){.kind = kind, .request = request};
}

static struct pg_command *first_command(const struct pg_connection *c)
{
  return &c->commands[c->first_command];
}

static void pop_command(struct pg_connection *c)
{
  c->first_command = (c->first_command + 1) & (c->command_capacity - 1);
  c->command_count--;
}

// ---- prepared statements ----

static struct pg_prepared *find_prepared(struct pg_connection *c, const struct pg_statement_entry *entry)
{
  if (entry->index >= c->prepared_count) {
    size_t count = entry->index + 16;
    struct pg_prepared *prepared = realloc(c->prepared, count * sizeof(*prepared));
    CHECK(prepared != NULL);
    for (size_t i = c->prepared_count; i < count; i++)
      prepared[i] = (struct pg_prepared){0};
    c->prepared = prepared;
    c->prepared_count = count;
  }
  return &c->prepared[entry->index];
}

static void start_generation(struct pg_prepared *prepared)
{
  *prepared = (struct pg_prepared){.generation = prepared->generation + 1};
}

// Gives the name up that the request used, unless another request has done so meanwhile.
static void give_up_prepared(struct pg_connection *c, const struct pg_request *request)
{
  struct pg_prepared *prepared = find_prepared(c, request->entry);
  if (prepared->generation == request->prepared_generation)
    start_generation(prepared);
}

// The name in the server: the statement's own, with the generation behind it after the first.
static const char *name_prepared(const struct pg_statement *statement, unsigned generation, char *buffer, size_t size)
{
  if (generation == 0)
    return statement->name;
  snprintf(buffer, size, "%.60s~%u", statement->name, generation);
  return buffer;
}

// ---- sending ----

static bool has_own_sync(const struct pg_request *request)
{
  return request->kind != PG_READ && request->kind != PG_BEGIN;
}

static bool is_in_transaction(const struct pg_request *request)
{
  return request->kind == PG_BEGIN || request->kind == PG_IN_TRANSACTION || request->kind == PG_COMMIT;
}

static void send_sync(struct pg_connection *c, struct pg_request *request)
{
  push_command(c, PG_COMMAND_SYNC, request);
  c->group_open = false;
  if (c->state == PG_OPEN && PQpipelineSync(c->conn) != 1)
    pg_connection_fail(c);
}

static void send_parse(struct pg_connection *c, struct pg_request *request, const struct pg_params *params,
                       const char *name)
{
  push_command(c, PG_COMMAND_PREPARE, request);
  const char *sql = request->entry->statement->sql;
  if (c->state == PG_OPEN && !PQsendPrepare(c->conn, name, sql, (int)params->count, params->types))
    pg_connection_fail(c);
}

static void send_bind(struct pg_connection *c, struct pg_request *request, const struct pg_params *params,
                      const char *name)
{
  push_command(c, PG_COMMAND_QUERY, request);
  c->in_flight++;
  if (c->state == PG_OPEN &&
      !PQsendQueryPrepared(c->conn, name, (int)params->count, params->values, params->lengths, params->formats, 0))
    pg_connection_fail(c);
}

static void send_query(struct pg_connection *c, struct pg_request *request)
{
  static const struct pg_params NONE;
  bool has_params = request->execution != NULL && request->execution->params != NULL;
  const struct pg_params *params = has_params ? request->execution->params : &NONE;
  struct pg_prepared *prepared = find_prepared(c, request->entry);
  // Another request's Parse of the current name may be failing now; this request's outcome must not depend on it.
  if (request->prepares_again)
    start_generation(prepared);
  char buffer[80];
  const char *name = name_prepared(request->entry->statement, prepared->generation, buffer, sizeof(buffer));
  request->prepared_generation = prepared->generation;
  if (!prepared->sent) {
    prepared->sent = true;
    send_parse(c, request, params, name);
  }
  send_bind(c, request, params, name);
}

void pg_pipeline_send(struct pg_connection *c, struct pg_request *request)
{
  // The reads of a turn are sent last and flushed at once. A write would share their transaction otherwise.
  CHECK(!has_own_sync(request) || !c->group_open);
  pg_request_enter(request, PG_REQUEST_IN_FLIGHT);
  request->connection = c;
  request->sent_us = clock_now_us();
  if (request->execution != NULL)
    request->execution->was_sent = true;
  send_query(c, request);
  if (has_own_sync(request))
    send_sync(c, request);
  else if (request->kind == PG_READ)
    c->group_open = true;
}

void pg_pipeline_flush(struct pg_connection *c)
{
  if (!pg_connection_established(c))
    return;
  if (c->group_open)
    send_sync(c, NULL);
  int left = c->state == PG_FAILING ? -1 : PQflush(c->conn);
  if (left < 0)
    pg_connection_break(c, PQerrorMessage(c->conn));
  else
    pg_connection_watch(c, left > 0);
}

// ---- results ----

// Notes the failure for whoever waits, to be logged in that task's context. An abandoned request's is logged at once.
static void note_failure(const struct pg_request *request, const char *sqlstate, const char *message)
{
  struct pg_failure failure = {.sqlstate = slice_from_string(sqlstate == NULL ? "" : sqlstate),
                               .message = slice_from_string(message == NULL ? "(no message)" : message)};
  struct pg_execution *execution = request->execution;
  if (execution == NULL) {
    pg_log_failure(request->entry->statement, &failure);
    return;
  }
  execution->failure = (struct pg_failure){.sqlstate = arena_copy(execution->arena, failure.sqlstate),
                                           .message = arena_copy(execution->arena, failure.message)};
}

static bool is_prepared_lost(const char *sqlstate)
{
  return sqlstate != NULL && (strcmp(sqlstate, "26000") == 0 || strcmp(sqlstate, "0A000") == 0);
}

static void take_lost_prepared(struct pg_connection *c, struct pg_request *request)
{
  give_up_prepared(c, request);
  if (is_in_transaction(request)) {
    request->status = STATUS_ABORTED;
  } else if (!request->prepares_again && request->state == PG_REQUEST_IN_FLIGHT) {
    request->prepares_again = true;
    pg_request_enter(request, PG_REQUEST_RETRY);
  }
}

// Tells whether a cancel request that was meant for a neighbour has hit the request.
static bool is_hit_by_cancel(const struct pg_connection *c, const struct pg_request *request, const char *sqlstate)
{
  return c->use == PG_PIPELINED && request->state == PG_REQUEST_IN_FLIGHT && sqlstate != NULL &&
         strcmp(sqlstate, "57014") == 0 && (c->cancel != NULL || request->sent_us <= c->cancelled_us);
}

// Takes the request's own error, from its Parse, its Execute or its Sync.
static void take_error(struct pg_connection *c, struct pg_request *request, const PGresult *result)
{
  const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  request->status = pg_sqlstate_status(sqlstate);
  if (is_prepared_lost(sqlstate))
    take_lost_prepared(c, request);
  else if (is_hit_by_cancel(c, request, sqlstate))
    pg_request_enter(request, PG_REQUEST_RETRY);
  if (sqlstate != NULL && strcmp(sqlstate, PG_READ_ONLY) == 0)
    pg_fence_note_refusal(c);
  if (c->group_error == STATUS_OK)
    c->group_error = request->status;
  if (request->status == STATUS_INTERNAL && request->state != PG_REQUEST_RETRY)
    note_failure(request, sqlstate, PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
  if (request->execution != NULL)
    pg_result_fill_error(request->execution->result, request->execution->arena, result);
}

// Takes the notice that the server skipped the request, because of an error in front of it in its group.
static void take_abort(struct pg_connection *c, struct pg_request *request)
{
  if (request->status != STATUS_OK)  // the error was that of its own Parse
    return;
  if (request->kind != PG_READ)
    request->status = c->group_error == STATUS_OK ? STATUS_ABORTED : c->group_error;
  else if (request->state == PG_REQUEST_IN_FLIGHT)
    pg_request_enter(request, PG_REQUEST_RETRY);
}

// Takes the rows, and with them the result itself: `*result` becomes NULL.
static void take_rows(struct pg_connection *c, struct pg_request *request, PGresult **result)
{
  pg_fence_note_success(c, PQcmdStatus(*result));
  // The server answers the COMMIT of a failed transaction with ROLLBACK, and with no error.
  if (request->kind == PG_COMMIT && strcmp(PQcmdStatus(*result), "COMMIT") != 0)
    request->status = STATUS_ABORTED;
  if (request->execution != NULL)
    pg_result_keep(request->execution->result, request->execution->arena, result);
}

static void take_query_result(struct pg_connection *c, struct pg_request *request, PGresult **result)
{
  switch (PQresultStatus(*result)) {
  case PGRES_COMMAND_OK:
  case PGRES_TUPLES_OK:
    take_rows(c, request, result);
    break;
  case PGRES_PIPELINE_ABORTED:
    take_abort(c, request);
    break;
  case PGRES_FATAL_ERROR:
  case PGRES_BAD_RESPONSE:
    take_error(c, request, *result);
    break;
  default:  // COPY and the like leave the connection in a state that this file does not know
    note_failure(request, NULL, "statements of this kind are not supported; the connection is closed");
    request->status = STATUS_INTERNAL;
    pg_connection_fail(c);
    break;
  }
}

// Ends a request whose results have been drained. A skipped read goes back to the head of the queues, on its own.
static void finish_request(struct pg_connection *c, struct pg_request *request)
{
  if (request->state != PG_REQUEST_RETRY || c->use != PG_PIPELINED) {
    pg_request_finish(c->pg, request, request->status);
    return;
  }
  request->kind = PG_SINGLE;
  request->status = STATUS_OK;
  pg_request_enter(request, PG_REQUEST_QUEUED);
  list_append(&c->pg->singles, &request->node);
}

static void take_sync_result(struct pg_connection *c, struct pg_request *request, const PGresult *result)
{
  if (PQresultStatus(result) != PGRES_PIPELINE_SYNC) {
    // The commit itself failed, for example at a deferred constraint.
    if (request != NULL)
      take_error(c, request, result);
    return;
  }
  pop_command(c);
  c->group_error = STATUS_OK;
  if (request != NULL)
    finish_request(c, request);
}

static void take_prepare_result(struct pg_connection *c, struct pg_request *request, const PGresult *result)
{
  if (PQresultStatus(result) == PGRES_COMMAND_OK)
    return;
  if (PQresultStatus(result) != PGRES_PIPELINE_ABORTED)
    take_error(c, request, result);
  give_up_prepared(c, request);
}

// Takes the end of a command's results, which libpq gives as NULL. A Sync has none.
static void take_end(struct pg_connection *c, const struct pg_command *command)
{
  struct pg_request *request = command->request;
  enum pg_command_kind kind = command->kind;
  if (kind == PG_COMMAND_SYNC)
    return;
  pop_command(c);
  if (kind == PG_COMMAND_PREPARE)
    return;
  c->in_flight--;
  if (!has_own_sync(request))
    finish_request(c, request);
}

// Takes a result, which is NULL behind the last one of a command. What keeps the result sets `*result` to NULL.
static void take_result(struct pg_connection *c, PGresult **result)
{
  struct pg_command *command = first_command(c);
  if (*result == NULL) {
    take_end(c, command);
    return;
  }
  command->answered = true;
  if (command->kind == PG_COMMAND_SYNC)
    take_sync_result(c, command->request, *result);
  else if (command->kind == PG_COMMAND_QUERY)
    take_query_result(c, command->request, result);
  else
    take_prepare_result(c, command->request, *result);
}

// Tells whether the connection is gone and `result` is not an answer of the server, because libpq makes up an error
// without SQLSTATE then.
static bool is_connection_lost(const struct pg_connection *c, const PGresult *result)
{
  if (PQstatus(c->conn) != CONNECTION_BAD)
    return false;
  if (result != NULL)
    return PQresultStatus(result) == PGRES_FATAL_ERROR && PQresultErrorField(result, PG_DIAG_SQLSTATE) == NULL;
  const struct pg_command *command = first_command(c);
  return command->kind == PG_COMMAND_SYNC || (command->kind == PG_COMMAND_QUERY && !command->answered);
}

// Delivers messages before the result that follows them, so that what was sent counts as sent only after them.
static void deliver_messages(struct pg_connection *c)
{
  if (c->use == PG_LISTENING && c->state == PG_OPEN)
    pg_channel_deliver(c);
}

void pg_pipeline_receive(struct pg_connection *c)
{
  bool readable = PQconsumeInput(c->conn) == 1;
  // What has arrived counts even when the connection broke behind it: an answered commit is a commit.
  bool lost = false;
  deliver_messages(c);
  while (!lost && c->state == PG_OPEN && !PQisBusy(c->conn) && c->command_count > 0) {
    PGresult *result = PQgetResult(c->conn);
    lost = is_connection_lost(c, result);
    if (!lost)
      take_result(c, &result);
    PQclear(result);
    deliver_messages(c);
  }
  if (lost || !readable || c->state == PG_FAILING || PQstatus(c->conn) == CONNECTION_BAD)
    pg_connection_break(c, PQerrorMessage(c->conn));
  else
    pg_connection_watch(c, PQflush(c->conn) > 0);
  if (c->use == PG_DRAINING)
    pg_pool_progress(c);
}

static void fail_request(struct pg_connection *c, struct pg_request *request)
{
  bool outcome_known = request->status != STATUS_OK && request->state != PG_REQUEST_RETRY;
  if (!outcome_known && request->state != PG_REQUEST_ABANDONED)
    pg_request_enter(request, PG_REQUEST_LOST);
  pg_request_finish(c->pg, request, outcome_known ? request->status : STATUS_UNAVAILABLE);
}

void pg_pipeline_fail(struct pg_connection *c)
{
  while (c->command_count > 0) {
    struct pg_command command = *first_command(c);
    pop_command(c);
    // A request is finished at its last command: its Sync where it has one, else its Execute.
    bool last = command.kind == PG_COMMAND_SYNC ? command.request != NULL
                                                : command.kind == PG_COMMAND_QUERY && !has_own_sync(command.request);
    if (last)
      fail_request(c, command.request);
  }
  c->in_flight = 0;
  c->group_open = false;
  c->group_error = STATUS_OK;
}
