// Changes by row, gathered: the changes that tasks ask for by the same statement travel as one statement, in arrays. It
// is one transaction, so PostgreSQL pays once for what a statement, a commit and a wake-up cost, and half as much for a
// row. Two such statements are under way at a time, and what is asked for meanwhile waits for the next one.
//
// A change lies on the stack of the task that waits for it. A batch runs in a task of its own. PostgreSQL carries out a
// batch completely or not at all, and whatever is unclear about a single change is left to the change alone: where the
// batch fails, because of one row or of a lock that it could not have at once, and where it gives no row. Then each
// task runs the statement for itself, repeats it, and gets its own error. Only where nobody knows whether the batch has
// been carried out, nobody knows it of its changes.
//
// A batch may begin until the first of its deadlines, and is cancelled then. A task that leaves waits for the outcome
// as if the statement were its own (pg_pool.c); when all have left, the batch is cancelled.
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/storage/pg_internal.h"

enum {
  MAX_CHANGES = 32,  // in one batch
  // How many changes of one caller a batch takes while others wait.
  CALLERS_SHARE = 8,
  // A change with less time left runs alone, so that it does not cut the others' time short.
  LEAST_TIME_LEFT_MS = 50,
};

enum verdict {
  VERDICT_OPEN,
  VERDICT_DONE,   // the row is in the result
  VERDICT_ALONE,  // nothing was changed, or not this row; the task runs the statement for itself
  VERDICT_UNKNOWN,
};

struct batch;

struct pg_waiting_change {
  struct list node;     // in pg_statement_entry.changes, until it is in a batch
  struct batch *batch;  // NULL before, and once there is a verdict
  size_t place;         // in the batch
  const struct pg_change *change;
  uint64_t caller;
  uint64_t deadline_us;
  struct arena *arena;
  struct pg_result *result;
  enum verdict verdict;
  struct completion completion;
};

struct batch {
  struct pg *pg;
  struct pg_statement_entry *entry;
  struct task *task;
  uint64_t deadline_us;
  size_t count;
  size_t waiting;  // those whose tasks have not left
  struct pg_waiting_change *changes[MAX_CHANGES];
};

// ---- the batch ----

static void end_change(struct batch *batch, size_t place, enum verdict verdict)
{
  struct pg_waiting_change *waiting = batch->changes[place];
  if (waiting == NULL)
    return;
  batch->changes[place] = NULL;
  waiting->batch = NULL;
  waiting->verdict = verdict;
  completion_finish(&waiting->completion, STATUS_OK);
}

static void end_all(struct batch *batch, enum verdict verdict)
{
  for (size_t i = 0; i < batch->count; i++)
    end_change(batch, i, verdict);
}

static void hand_out_rows(struct batch *batch, const struct pg_result *result)
{
  for (size_t row = 0; row < result->rows; row++) {
    int64_t place = pg_int(result, row, result->columns - 1);
    CHECK(place >= 1 && place <= (int64_t)batch->count);
    struct pg_waiting_change *waiting = batch->changes[place - 1];
    if (waiting == NULL)
      continue;
    pg_result_copy_row(waiting->result, waiting->arena, result, row, result->columns - 1);
    end_change(batch, (size_t)place - 1, VERDICT_DONE);
  }
}

// Takes those out whose tasks have left before the batch began.
static void close_ranks(struct batch *batch)
{
  size_t count = 0;
  for (size_t i = 0; i < batch->count; i++) {
    if (batch->changes[i] == NULL)
      continue;
    batch->changes[count] = batch->changes[i];
    batch->changes[count]->place = count;
    count++;
  }
  batch->count = count;
}

static void run_statement(struct batch *batch, struct arena *arena)
{
  const void *items[MAX_CHANGES];
  for (size_t i = 0; i < batch->count; i++)
    items[i] = batch->changes[i]->change->item;
  const struct pg_change *first = batch->changes[0]->change;
  struct pg_params params;
  pg_params_init(&params, arena);
  // Copies what it takes from the items, because a task that leaves takes its own away.
  first->add_params(first->arg, &params, items, batch->count);
  struct pg_result result = {0};
  struct pg_execution execution = {.statement = first->statement, .params = &params, .arena = arena, .result = &result};
  if (pg_run_gathered(batch->pg, batch->entry, &execution) == STATUS_OK)
    hand_out_rows(batch, &result);
  end_all(batch, task_effect() == TASK_EFFECT_UNKNOWN ? VERDICT_UNKNOWN : VERDICT_ALONE);
}

static void run_batch(void *arg)
{
  struct batch *batch = arg;
  struct arena arena = {0};
  close_ranks(batch);
  if (batch->count > 0)
    run_statement(batch, &arena);
  arena_free(&arena);
  batch->pg->batches--;
  free(batch);
}

// ---- making batches ----

// Orders changes by their keys: two batches that want the same rows lock them in the same order.
static int compare_keys(const void *a, const void *b)
{
  const struct pg_waiting_change *first = *(struct pg_waiting_change *const *)a;
  const struct pg_waiting_change *second = *(struct pg_waiting_change *const *)b;
  return strcmp(first->change->key, second->change->key);
}

static bool has_share_left(const struct batch *batch, uint64_t caller)
{
  size_t count = 0;
  for (size_t i = 0; i < batch->count; i++)
    count += batch->changes[i]->caller == caller;
  return count < CALLERS_SHARE;
}

static void add_change(struct batch *batch, struct pg_waiting_change *waiting)
{
  list_remove(&waiting->node);
  waiting->batch = batch;
  batch->changes[batch->count++] = waiting;
  if (waiting->deadline_us < batch->deadline_us)
    batch->deadline_us = waiting->deadline_us;
}

// Adds the changes that wait, in their order, while there is room. First nobody gets more than a share.
static void fill_batch(struct batch *batch, bool shares)
{
  struct list *list = &batch->entry->changes;
  for (struct list *node = list->next, *next = node->next; node != list && batch->count < MAX_CHANGES;
       node = next, next = node->next) {
    struct pg_waiting_change *waiting = CONTAINER_OF(node, struct pg_waiting_change, node);
    if (!shares || has_share_left(batch, waiting->caller))
      add_change(batch, waiting);
  }
}

static void start_batch(struct pg *pg, struct pg_statement_entry *entry)
{
  struct batch *batch = malloc(sizeof(*batch));
  CHECK(batch != NULL);
  *batch = (struct batch){.pg = pg, .entry = entry, .deadline_us = DEADLINE_NONE};
  fill_batch(batch, true);
  fill_batch(batch, false);
  qsort(batch->changes, batch->count, sizeof(batch->changes[0]), compare_keys);
  close_ranks(batch);
  batch->waiting = batch->count;
  pg->batches++;
  batch->task = task_start(pg->loop, run_batch, batch, batch->deadline_us, NULL);
}

void pg_change_dispatch(struct pg *pg)
{
  while (!list_empty(&pg->changing) && pg->batches < PG_GATHERED_CONNECTIONS) {
    struct pg_statement_entry *entry = CONTAINER_OF(pg->changing.next, struct pg_statement_entry, changing);
    start_batch(pg, entry);
    list_remove(&entry->changing);
    if (!list_empty(&entry->changes))
      list_append(&pg->changing, &entry->changing);
  }
}

// ---- the tasks ----

// Leaves before there is a verdict. What was sent may still be carried out, so its outcome is waited for.
static void leave_batch(struct pg_waiting_change *waiting)
{
  struct batch *batch = waiting->batch;
  if (--batch->waiting == 0)
    task_cancel(batch->task);
  (void)pg_wait_shielded(&waiting->completion);
  if (waiting->completion.done)
    return;
  batch->changes[waiting->place] = NULL;
  waiting->verdict = VERDICT_UNKNOWN;
}

static void leave_queue(struct pg_statement_entry *entry, struct pg_waiting_change *waiting)
{
  list_remove(&waiting->node);
  if (list_empty(&entry->changes))
    list_remove(&entry->changing);
}

// Waits for the verdict. A failure is the task's own; then nothing was sent, or the verdict is UNKNOWN.
static enum status wait_for_verdict(struct pg_statement_entry *entry, struct pg_waiting_change *waiting)
{
  enum status status = completion_wait(&waiting->completion);
  if (waiting->completion.done)
    return STATUS_OK;
  if (waiting->batch == NULL)
    leave_queue(entry, waiting);
  else
    leave_batch(waiting);
  return status;
}

static enum status change_gathered(struct pg *pg, struct pg_waiting_change *waiting)
{
  struct pg_statement_entry *entry = pg_find_statement(pg, waiting->change->statement);
  list_append(&entry->changes, &waiting->node);
  if (list_empty(&entry->changing))
    list_append(&pg->changing, &entry->changing);
  enum status status = wait_for_verdict(entry, waiting);
  if (waiting->verdict == VERDICT_UNKNOWN) {
    task_note_effect(TASK_EFFECT_UNKNOWN);
    return status == STATUS_OK ? STATUS_UNAVAILABLE : status;
  }
  if (waiting->verdict != VERDICT_DONE)
    return status;
  task_note_effect(TASK_EFFECT_DONE);
  return STATUS_OK;
}

static bool has_time(void)
{
  return task_deadline_us() == DEADLINE_NONE ||
         deadline_left_ms(task_deadline_us(), clock_now_us()) >= LEAST_TIME_LEFT_MS;
}

static enum status change_alone(struct pg *pg, const struct pg_change *change, struct arena *arena,
                                struct pg_result *result)
{
  struct pg_params params;
  pg_params_init(&params, arena);
  change->add_params(change->arg, &params, &change->item, 1);
  return pg_query(pg, change->statement, &params, arena, result);
}

enum status pg_change_row(struct pg *pg, const struct pg_change *change, struct arena *arena, struct pg_result *result)
{
  CHECK(change->statement->lane == PG_LANE_WRITE);
  *result = (struct pg_result){0};
  struct pg_waiting_change waiting = {.change = change,
                                      .caller = task_caller(),
                                      .deadline_us = task_deadline_us(),
                                      .arena = arena,
                                      .result = result,
                                      .verdict = VERDICT_ALONE,
                                      .completion = {.what = change->statement->name}};
  if (has_time()) {
    waiting.verdict = VERDICT_OPEN;
    enum status status = change_gathered(pg, &waiting);
    if (waiting.verdict != VERDICT_ALONE)
      return status;
  }
  return change_alone(pg, change, arena, result);
}
