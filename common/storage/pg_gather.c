// Rows by key, gathered: the keys that tasks ask for by the same statement travel as one batch: one query, with an
// array of keys. PostgreSQL's work for a query (bind, plan, describe, sync) costs many times that for a row, and so
// does libpq's. Each pipelined connection has two batches at most, the one at work and the next. More would only wait
// there; keys that wait here travel together.
//
// A read lies on the stack of the task that waits for it. A batch runs in a task of its own, so that it waits, is
// retried and fails like any other query. It finds its reads by their places in the array; a read that leaves early
// empties its place. The last read to leave cancels the batch, because nothing may be in flight when the pg is freed.
// An error that one key may have caused must not reach the other reads: then the batch is halved until the key is
// alone.
//
// A read that would wait for too long behind others (queue_limit.h), or longer than it has time, is refused at once:
// RESOURCE_EXHAUSTED. As many as fill the batches that run side by side may always wait.
#include <stdlib.h>

#include "common/base/check.h"
#include "common/storage/pg_internal.h"

// Keys of one query at most. More keys make more queries, which run side by side.
#define MAX_KEYS 256
// After so many queries a batch is halved no more: many keys are bad, or none is to blame, and all that are left get
// the error.
#define MAX_QUERIES 32
// Batches under way on each pipelined connection.
#define BATCHES_EACH 2

struct batch;

struct pg_read {
  struct list node;     // in pg_statement_entry.reads, until it is in a batch
  struct batch *batch;  // NULL before, and once the read has ended
  size_t place;         // in the batch
  const char *key;
  struct arena *arena;
  struct pg_result *result;
  struct pg_failure failure;  // logged by the task that waits, in its own context
  struct completion completion;
  uint64_t deadline_us;
};

struct batch {
  struct pg *pg;
  const struct pg_statement *statement;
  struct task *task;
  size_t count;
  size_t queries;  // sent for this batch, or about to be
  uint64_t began_us;
  size_t waiting;                   // reads that have neither ended nor left
  struct pg_read *reads[MAX_KEYS];  // NULL once a read has ended or left
};

// A part of a batch that travels as one query.
struct range {
  size_t first;
  size_t count;
};

static void remove_read(struct pg_read *read)
{
  read->batch->reads[read->place] = NULL;
  read->batch->waiting--;
  read->batch = NULL;
}

static void end_read(struct batch *batch, size_t i, enum status status, const struct pg_failure *failure)
{
  struct pg_read *read = batch->reads[i];
  if (read == NULL)
    return;
  if (failure->message.size > 0) {
    read->failure.sqlstate = arena_copy(read->arena, failure->sqlstate);
    read->failure.message = arena_copy(read->arena, failure->message);
  }
  remove_read(read);
  completion_finish(&read->completion, status);
}

static void count_waiting(struct pg *pg, int change)
{
  pg->gathered_keys += (size_t)change;
  queue_limit_note_waiting(&pg->read_limit, pg->gathered_keys, loop_now_us(pg->loop));
}

// Ends a read whose task waits no longer: it is still gathered, or in a batch that runs.
static void leave_read(struct pg *pg, struct pg_statement_entry *entry, struct pg_read *read)
{
  list_remove(&read->node);
  if (list_empty(&entry->reads))
    list_remove(&entry->gathering);
  struct batch *batch = read->batch;
  if (batch == NULL) {
    count_waiting(pg, -1);
    return;
  }
  remove_read(read);
  if (batch->waiting == 0)
    task_cancel(batch->task);
}

static enum status query_keys(struct batch *batch, struct range range, struct pg_execution *execution)
{
  struct arena *arena = execution->arena;
  const char **keys = arena_array(arena, range.count, sizeof(*keys));
  for (size_t i = 0; i < range.count; i++) {
    const struct pg_read *read = batch->reads[range.first + i];
    keys[i] = read == NULL ? NULL : read->key;
  }
  struct pg_params params;
  pg_params_init(&params, arena);
  // Copies the keys, because a read that leaves while this waits takes its own away.
  pg_add_text_array(&params, keys, range.count);
  execution->params = &params;
  enum status status = pg_execute(batch->pg, execution);
  execution->params = NULL;
  return status;
}

static void end_range(struct batch *batch, struct range range, enum status status, const struct pg_failure *failure)
{
  for (size_t i = 0; i < range.count; i++)
    end_read(batch, range.first + i, status, failure);
}

static void hand_out_rows(struct batch *batch, struct range range, const struct pg_result *result)
{
  static const struct pg_failure NONE;
  for (size_t row = 0; row < result->rows; row++) {
    int64_t place = pg_int(result, row, result->columns - 1);
    CHECK(place >= 1 && place <= (int64_t)range.count);
    struct pg_read *read = batch->reads[range.first + (size_t)place - 1];
    if (read != NULL)
      pg_result_copy_row(read->result, read->arena, result, row, result->columns - 1);
  }
  end_range(batch, range, STATUS_OK, &NONE);
}

// Tells whether the error is a data exception. Only that depends on the keys.
static bool may_come_from_one_key(const struct pg_result *result)
{
  return slice_starts_with(result->sqlstate, SLICE("22"));
}

static void read_range(struct batch *batch, struct range range)
{
  struct arena arena = {0};
  struct pg_result result = {0};
  struct pg_execution execution = {.statement = batch->statement, .arena = &arena, .result = &result};
  enum status status = query_keys(batch, range, &execution);
  if (status == STATUS_OK) {
    hand_out_rows(batch, range, &result);
  } else if (range.count > 1 && may_come_from_one_key(&result) && batch->queries + 2 <= MAX_QUERIES) {
    batch->queries += 2;
    size_t half = range.count / 2;
    read_range(batch, (struct range){.first = range.first, .count = half});
    read_range(batch, (struct range){.first = range.first + half, .count = range.count - half});
  } else {
    end_range(batch, range, status, &execution.failure);
  }
  arena_free(&arena);
}

static void run_batch(void *arg)
{
  struct batch *batch = arg;
  read_range(batch, (struct range){.first = 0, .count = batch->count});
  batch->pg->read_batches--;
  uint64_t now_us = loop_now_us(batch->pg->loop);
  queue_limit_note_service(&batch->pg->read_limit, now_us > batch->began_us ? now_us - batch->began_us : 0);
  free(batch);
}

static void start_batch(struct pg *pg, struct pg_statement_entry *entry)
{
  struct batch *batch = malloc(sizeof(*batch));
  CHECK(batch != NULL);
  batch->pg = pg;
  batch->statement = entry->statement;
  batch->count = 0;
  batch->queries = 1;
  batch->began_us = loop_now_us(pg->loop);
  uint64_t deadline_us = 0;
  while (!list_empty(&entry->reads) && batch->count < MAX_KEYS) {
    struct pg_read *read = CONTAINER_OF(entry->reads.next, struct pg_read, node);
    list_remove(&read->node);
    count_waiting(pg, -1);
    read->batch = batch;
    read->place = batch->count++;
    batch->reads[read->place] = read;
    // The batch goes on for the read with the latest deadline; each read leaves at its own.
    if (read->deadline_us > deadline_us)
      deadline_us = read->deadline_us;
  }
  batch->waiting = batch->count;
  pg->read_batches++;
  batch->task = task_start(pg->loop, run_batch, batch, deadline_us, NULL);
}

void pg_gather_dispatch(struct pg *pg)
{
  while (!list_empty(&pg->gathering) && pg->read_batches < BATCHES_EACH * pg->pipelined_count) {
    struct pg_statement_entry *entry = CONTAINER_OF(pg->gathering.next, struct pg_statement_entry, gathering);
    list_remove(&entry->gathering);
    start_batch(pg, entry);
    if (!list_empty(&entry->reads))
      list_append(&pg->gathering, &entry->gathering);
  }
}

static enum status query_row(struct pg *pg, const struct pg_statement *statement, const char *key, struct arena *arena,
                             struct pg_result *result)
{
  enum status status = pg_wait_usable(pg);
  if (status != STATUS_OK)
    return status;
  size_t ahead = pg->gathered_keys / MAX_KEYS;
  size_t servers = BATCHES_EACH * pg->pipelined_count;
  if (!pg_may_queue(pg, &pg->read_limit, ahead, servers)) {
    metric_add(pg->refused, 1);
    // Else only this caller has too little time.
    if (!queue_limit_admits(&pg->read_limit, ahead, servers, loop_now_us(pg->loop)))
      task_note_full();
    return STATUS_RESOURCE_EXHAUSTED;
  }
  struct pg_statement_entry *entry = pg_find_statement(pg, statement);
  struct pg_read read = {.key = key,
                         .arena = arena,
                         .result = result,
                         .completion = {.what = statement->name},
                         .deadline_us = task_deadline_us()};
  list_append(&entry->reads, &read.node);
  count_waiting(pg, 1);
  if (list_empty(&entry->gathering))
    list_append(&pg->gathering, &entry->gathering);
  status = completion_wait(&read.completion);
  if (!read.completion.done) {
    leave_read(pg, entry, &read);
    return pg_ready(pg) ? status : STATUS_UNAVAILABLE;
  }
  pg_log_failure(statement, &read.failure);
  return read.completion.status;
}

enum status pg_query_row(struct pg *pg, const struct pg_statement *statement, const char *key, struct arena *arena,
                         struct pg_result *result)
{
  CHECK(statement->lane == PG_LANE_POINT);
  *result = (struct pg_result){0};
  return pg_note_cause(pg, statement->name, query_row(pg, statement, key, arena, result));
}
