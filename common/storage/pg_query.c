// Single statements: in which lane each runs, and when it is repeated.
#include <string.h>

#include "common/base/backoff.h"
#include "common/base/check.h"
#include "common/storage/pg_internal.h"

// The pauses before a statement is repeated because of a lock.
enum { LOCK_PAUSE_FIRST_MS = 10, LOCK_PAUSE_MAX_MS = 200 };

// ---- repeating after a lock ----

struct pg_lock_retry pg_lock_retry_begin(const struct pg *pg)
{
  uint64_t end_us = task_deadline_us();
  if (end_us == DEADLINE_NONE)
    end_us = deadline_after_ms(loop_now_us(pg->loop), pg->statement_timeout_ms);
  return (struct pg_lock_retry){.end_us = end_us};
}

// Tells whether the statement could not have a lock, or had to give up its locks for another.
static bool is_lock_failure(const struct pg_result *result)
{
  return slice_equal_string(result->sqlstate, "55P03") || slice_equal_string(result->sqlstate, "40P01");
}

bool pg_lock_retry_next(struct pg_lock_retry *retry, const struct pg_result *result, enum status *status)
{
  if (*status != STATUS_ABORTED || !is_lock_failure(result))
    return false;
  enum status pause = task_check();
  if (pause == STATUS_OK && clock_now_us() >= retry->end_us)
    return false;
  if (pause == STATUS_OK)
    pause = task_sleep_ms(backoff_next_ms(&retry->backoff_ms, LOCK_PAUSE_FIRST_MS, LOCK_PAUSE_MAX_MS));
  if (pause != STATUS_OK)
    *status = pause;
  return pause == STATUS_OK;
}

// ---- point reads ----

// Waits for the outcome. A caller that leaves takes its request out of the queue. A request that was sent already is
// abandoned instead, and cancelled in the server if that is busy with it for long.
static enum status wait_for_outcome(struct pg *pg, struct pg_request *request)
{
  request->completion.what = request->entry->statement->name;
  enum status status = completion_wait(&request->completion);
  if (request->completion.done)
    return request->completion.status;
  if (request->state != PG_REQUEST_QUEUED) {
    pg_request_enter(request, PG_REQUEST_ABANDONED);
    pg_cancel_abandoned(request->connection);
    return status;
  }
  list_remove(&request->node);
  pg_request_enter(request, PG_REQUEST_OWNED);
  return pg_ready(pg) ? status : STATUS_UNAVAILABLE;
}

static enum status try_point(struct pg *pg, struct pg_statement_entry *entry, struct pg_execution *execution)
{
  enum status status = pg_wait_usable(pg);
  if (status != STATUS_OK)
    return status;
  struct pg_request *request = pg_request_create(pg, entry, PG_READ, execution);
  request->deadline_us = task_deadline_us();
  pg_request_enter(request, PG_REQUEST_QUEUED);
  list_append(&pg->reads, &request->node);
  status = wait_for_outcome(pg, request);
  if (request->state == PG_REQUEST_ABANDONED)
    return status;
  if (request->state != PG_REQUEST_OWNED)
    pg_request_reset(request);
  pg_request_free(pg, &request);
  return status;
}

// ---- pools ----

// A scan may make megabytes: it does not begin while the replies before it wait to be read.
static bool is_unwanted(const struct pg_pool *pool)
{
  return pool == &pool->pg->scans && !task_is_wanted();
}

static enum status try_pooled(struct pg_pool *pool, struct pg_statement_entry *entry, struct pg_execution *execution,
                              bool after_lock)
{
  struct pg_connection *connection = NULL;
  enum status status = pg_pool_borrow(pool, after_lock, &connection);
  if (status != STATUS_OK)
    return status;
  // The wait may have used up the time, so the clock itself is read before the statement is sent.
  status = task_check();
  if (status == STATUS_OK && is_unwanted(pool)) {
    metric_add(pool->pg->refused, 1);
    status = STATUS_RESOURCE_EXHAUSTED;
  }
  if (status == STATUS_OK)
    status = pg_pool_run(connection, pg_request_create(pool->pg, entry, PG_SINGLE, execution));
  // What waits for a lock, or was not sent, does not tell how long others take.
  if (after_lock || !execution->was_sent || is_lock_failure(execution->result))
    connection->lent_us = 0;
  pg_pool_return(connection);
  return status;
}

// ---- all lanes ----

static enum status try_once(struct pg *pg, struct pg_statement_entry *entry, struct pg_execution *execution,
                            bool after_lock)
{
  *execution->result = (struct pg_result){0};
  execution->failure = (struct pg_failure){0};
  execution->was_sent = false;
  switch (entry->statement->lane) {
  case PG_LANE_POINT:
    return try_point(pg, entry, execution);
  case PG_LANE_SCAN:
    return try_pooled(&pg->scans, entry, execution, after_lock);
  case PG_LANE_WRITE:
    break;
  }
  return try_pooled(&pg->writes, entry, execution, after_lock);
}

// Repeats a read once when its connection broke, because it changes nothing.
static bool should_repeat_lost(const struct pg_execution *execution, enum status status)
{
  return execution->statement->lane != PG_LANE_WRITE && status == STATUS_UNAVAILABLE && execution->was_sent;
}

enum status pg_execute(struct pg *pg, struct pg_execution *execution)
{
  uint64_t started_us = loop_now_us(pg->loop);
  struct pg_statement_entry *entry = pg_find_statement(pg, execution->statement);
  struct pg_lock_retry retry = pg_lock_retry_begin(pg);
  bool may_be_lost = true;
  enum status status;
  do {
    status = try_once(pg, entry, execution, retry.backoff_ms > 0);
    if (may_be_lost && should_repeat_lost(execution, status)) {
      may_be_lost = false;
      status = try_once(pg, entry, execution, retry.backoff_ms > 0);
    }
  } while (pg_lock_retry_next(&retry, execution->result, &status));
  pg_count_outcome(pg, entry, status, started_us);
  return status;
}

enum status pg_query(struct pg *pg, const struct pg_statement *statement, const struct pg_params *params,
                     struct arena *arena, struct pg_result *result)
{
  struct pg_execution execution = {.statement = statement, .params = params, .arena = arena, .result = result};
  enum status status = pg_execute(pg, &execution);
  pg_log_failure(statement, &execution.failure);
  return pg_note_cause(pg, statement->name, status);
}
