// The life of a request. Finished requests are kept in a free list, because there are as many as statements.
#include <stdlib.h>

#include "common/base/check.h"
#include "common/observe/log.h"
#include "common/storage/pg_internal.h"

#define STATE_BIT(state) (1U << (state))

// Which states may follow each state.
static const unsigned FOLLOWERS[] = {
    [PG_REQUEST_FREE] = STATE_BIT(PG_REQUEST_OWNED),
    [PG_REQUEST_OWNED] = STATE_BIT(PG_REQUEST_QUEUED) | STATE_BIT(PG_REQUEST_IN_FLIGHT) | STATE_BIT(PG_REQUEST_FREE),
    [PG_REQUEST_QUEUED] = STATE_BIT(PG_REQUEST_IN_FLIGHT) | STATE_BIT(PG_REQUEST_DONE) | STATE_BIT(PG_REQUEST_OWNED),
    [PG_REQUEST_IN_FLIGHT] = STATE_BIT(PG_REQUEST_OVERDUE) | STATE_BIT(PG_REQUEST_RETRY) | STATE_BIT(PG_REQUEST_LOST) |
                             STATE_BIT(PG_REQUEST_DONE) | STATE_BIT(PG_REQUEST_ABANDONED),
    [PG_REQUEST_OVERDUE] = STATE_BIT(PG_REQUEST_LOST) | STATE_BIT(PG_REQUEST_DONE) | STATE_BIT(PG_REQUEST_ABANDONED),
    [PG_REQUEST_RETRY] = STATE_BIT(PG_REQUEST_OWNED) | STATE_BIT(PG_REQUEST_QUEUED) | STATE_BIT(PG_REQUEST_LOST) |
                         STATE_BIT(PG_REQUEST_ABANDONED),
    [PG_REQUEST_LOST] = STATE_BIT(PG_REQUEST_OWNED),
    [PG_REQUEST_DONE] = STATE_BIT(PG_REQUEST_OWNED),
    [PG_REQUEST_ABANDONED] = STATE_BIT(PG_REQUEST_OWNED),
};

void pg_request_enter(struct pg_request *request, enum pg_request_state state)
{
  CHECK((FOLLOWERS[request->state] & STATE_BIT(state)) != 0);
  request->state = state;
  if (state == PG_REQUEST_ABANDONED)
    request->execution = NULL;
}

struct pg_request *pg_request_create(struct pg *pg, struct pg_statement_entry *entry, enum pg_request_kind kind,
                                     struct pg_execution *execution)
{
  struct pg_request *request;
  if (list_empty(&pg->free_requests)) {
    request = malloc(sizeof(*request));
    CHECK(request != NULL);
  } else {
    request = CONTAINER_OF(pg->free_requests.next, struct pg_request, node);
    list_remove(&request->node);
  }
  *request = (struct pg_request){.kind = kind, .entry = entry, .execution = execution, .deadline_us = DEADLINE_NONE};
  list_init(&request->node);
  pg_request_enter(request, PG_REQUEST_OWNED);
  return request;
}

void pg_request_free(struct pg *pg, struct pg_request **request)
{
  pg_request_enter(*request, PG_REQUEST_FREE);
  list_append(&pg->free_requests, &(*request)->node);
  *request = NULL;
}

void pg_request_finish(struct pg *pg, struct pg_request *request, enum status status)
{
  if (request->state == PG_REQUEST_ABANDONED) {
    void (*finished)(void *arg, enum status status) = request->finished;
    void *arg = request->finished_arg;
    pg_request_enter(request, PG_REQUEST_OWNED);
    pg_request_free(pg, &request);
    if (finished != NULL)
      finished(arg, status);
    return;
  }
  if (request->state != PG_REQUEST_RETRY && request->state != PG_REQUEST_LOST)
    pg_request_enter(request, PG_REQUEST_DONE);
  completion_finish(&request->completion, status);
}

void pg_request_reset(struct pg_request *request)
{
  pg_request_enter(request, PG_REQUEST_OWNED);
  request->status = STATUS_OK;
  request->completion = (struct completion)COMPLETION_INIT;
}

void pg_log_failure(const struct pg_statement *statement, const struct pg_failure *failure)
{
  if (failure->message.size == 0)
    return;
  log_error("postgres", "statement failed, its caller gets INTERNAL", LOG_STRING("statement", statement->name),
            LOG_SLICE("sqlstate", failure->sqlstate), LOG_SLICE("reason", failure->message));
}
