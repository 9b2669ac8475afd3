// Rows by key, gathered: the reads of a turn that use the same statement are sent as one, with all their keys in an
// array. PostgreSQL's work for a statement (bind, plan, describe, sync) is many times that for a row, and libpq's too.
//
// A read lies on the stack of the task that waits for it. A batch is a task of its own, so that it waits, is sent again
// and fails like any other statement; it knows its reads by their places in the array, and one that leaves early
// empties its place. The last one to leave ends the batch, or it would outlive whoever may free the pg. An error that
// one key may have caused must not be the others': then each is asked for alone.
#include <stdlib.h>

#include "common/base/check.h"
#include "common/storage/pg_internal.h"

// Of one statement. More reads make more statements, which run side by side.
#define MAX_KEYS 256

struct batch;

struct pg_read {
  struct list node;     // pg_known.gathered, until it is in a batch
  struct batch *batch;  // NULL before, and when it has ended
  size_t place;         // in the batch
  const char *key;
  struct arena *arena;
  struct pg_result *result;
  struct completion completion;
  uint64_t deadline_us;
};

struct batch {
  struct pg *pg;
  const struct pg_statement *statement;
  struct task *task;
  size_t count;
  size_t waiting;                   // of them: have neither ended nor left
  struct pg_read *reads[MAX_KEYS];  // NULL: has left
};

static void take_out(struct pg_read *read)
{
  read->batch->reads[read->place] = NULL;
  read->batch->waiting--;
  read->batch = NULL;
}

static void end_read(struct batch *batch, size_t i, enum status status)
{
  struct pg_read *read = batch->reads[i];
  if (read == NULL)
    return;
  take_out(read);
  completion_finish(&read->completion, status);
}

// Before its end. It is still gathered, or in a batch that is at work.
static void leave(struct pg_known *known, struct pg_read *read)
{
  list_remove(&read->node);
  if (list_empty(&known->gathered))
    list_remove(&known->gathering);
  struct batch *batch = read->batch;
  if (batch == NULL)
    return;
  take_out(read);
  if (batch->waiting == 0)
    task_cancel(batch->task);
}

// Asks for the reads from `first` on; their rows stay in `result`, told apart by the last column.
static enum status query(struct batch *batch, size_t first, size_t count, struct arena *arena, struct pg_result *result)
{
  const char **keys = arena_array(arena, count, sizeof(*keys));
  for (size_t i = 0; i < count; i++) {
    // A copy: who leaves takes the key away.
    const struct pg_read *read = batch->reads[first + i];
    keys[i] = read == NULL ? NULL : arena_string(arena, slice_from_string(read->key));
  }
  struct pg_params params;
  pg_params_init(&params, arena);
  pg_add_text_array(&params, keys, count);
  return pg_query(batch->pg, batch->statement, &params, arena, result);
}

static void hand_out_rows(struct batch *batch, size_t first, size_t count, const struct pg_result *result)
{
  for (size_t row = 0; row < result->rows; row++) {
    int64_t place = pg_int(result, row, result->columns - 1);
    CHECK(place >= 1 && place <= (int64_t)count);
    struct pg_read *read = batch->reads[first + (size_t)place - 1];
    if (read != NULL)
      pg_result_copy_row(read->result, read->arena, result, row, result->columns - 1);
  }
  for (size_t i = first; i < first + count; i++)
    end_read(batch, i, STATUS_OK);
}

static bool may_be_of_one_key(enum status status)
{
  return status != STATUS_UNAVAILABLE && status != STATUS_DEADLINE_EXCEEDED && status != STATUS_CANCELLED;
}

static void read_keys(struct batch *batch, size_t first, size_t count)
{
  struct arena arena = {0};
  struct pg_result result;
  enum status status = query(batch, first, count, &arena, &result);
  if (status == STATUS_OK) {
    hand_out_rows(batch, first, count, &result);
  } else if (count > 1 && may_be_of_one_key(status)) {
    for (size_t i = first; i < first + count; i++)
      if (batch->reads[i] != NULL)
        read_keys(batch, i, 1);
  } else {
    for (size_t i = first; i < first + count; i++)
      end_read(batch, i, status);
  }
  arena_free(&arena);
}

static void run_batch(void *arg)
{
  struct batch *batch = arg;
  read_keys(batch, 0, batch->count);
  free(batch);
}

static void start_batch(struct pg *pg, struct pg_known *known)
{
  struct batch *batch = malloc(sizeof(*batch));
  CHECK(batch != NULL);
  batch->pg = pg;
  batch->statement = known->statement;
  batch->count = 0;
  uint64_t deadline_us = 0;
  while (!list_empty(&known->gathered) && batch->count < MAX_KEYS) {
    struct pg_read *read = CONTAINER_OF(known->gathered.next, struct pg_read, node);
    list_remove(&read->node);
    read->batch = batch;
    read->place = batch->count++;
    batch->reads[read->place] = read;
    // The others wait no longer than they may, and the batch until the last has gone.
    if (read->deadline_us > deadline_us)
      deadline_us = read->deadline_us;
  }
  batch->waiting = batch->count;
  batch->task = task_start(pg->loop, run_batch, batch, deadline_us, NULL);
}

void pg_gather_send(struct pg *pg)
{
  while (!list_empty(&pg->gathering)) {
    struct pg_known *known = CONTAINER_OF(pg->gathering.next, struct pg_known, gathering);
    list_remove(&known->gathering);
    while (!list_empty(&known->gathered))
      start_batch(pg, known);
  }
}

enum status pg_query_row(struct pg *pg, const struct pg_statement *statement, const char *key, struct arena *arena,
                         struct pg_result *result)
{
  CHECK(statement->read_only && !statement->dedicated);
  *result = (struct pg_result){0};
  enum status status = pg_wait_usable(pg);
  if (status != STATUS_OK)
    return status;
  struct pg_known *known = pg_known_find(pg, statement);
  struct pg_read read = {.key = key, .arena = arena, .result = result, .deadline_us = task_deadline_us()};
  list_append(&known->gathered, &read.node);
  if (list_empty(&known->gathering))
    list_append(&pg->gathering, &known->gathering);
  status = completion_wait(&read.completion);
  if (read.completion.done)
    return read.completion.status;
  leave(known, &read);
  return pg_ready(pg) ? status : STATUS_UNAVAILABLE;
}
