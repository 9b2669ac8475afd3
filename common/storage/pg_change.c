// Changes by row, gathered: the changes that tasks ask for by the same statement travel as one batch: one statement,
// with arrays as its parameters. A batch is one transaction, so PostgreSQL pays only once for a statement, a commit and
// a wake-up. Changes that come while a batch is under way wait for the next one. When many wait, a second batch runs
// beside the first.
//
// A change lies on the stack of the task that waits for it. A batch runs in a task of its own. PostgreSQL carries out a
// batch completely or not at all. If it fails, because of one row or because of a lock that it could not have at once,
// each of its tasks runs the statement for itself, repeats it, and gets its own error. A task whose change gave no row
// does the same. If the outcome of the batch is unknown, the outcome of its changes is, too, and none is run again.
//
// A change that leaves before its batch was sent is not in it. One that leaves later waits for the outcome as if the
// statement were its own (pg_pool.c). The batch is cancelled at the first of its changes' deadlines, and when all have
// left. The last one to leave waits until the batch has ended, because nothing may be under way when the pg is freed.
//
// A change that would wait for too long for its batch (queue_limit.h), or longer than it has time, is refused at once:
// RESOURCE_EXHAUSTED. Only those that go before it count, so one whose changes are many is refused before one who has
// few.
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/storage/pg_internal.h"

enum {
  MAX_CHANGES = 32,  // in one batch
  // As many changes of a statement must wait before a batch of them starts beside another batch. Fewer wait for the end
  // of the other, because one larger batch costs less.
  WORTH_ANOTHER = 16,
  // So many may always wait: what one client asks for over many connections, on a machine of any speed.
  ALWAYS_WAIT = 4 * MAX_CHANGES,
  // After so long a batch is waited for no more, because something holds it up.
  SLOW_BATCH_MS = 50,
  // A change with less time left runs alone, so that it does not cut the others' time short.
  LEAST_TIME_LEFT_MS = 50,
  // How long a batch waits for a connection before its changes run alone.
  CONNECTION_WAIT_MS = 250,
};

enum verdict {
  VERDICT_OPEN,
  VERDICT_DONE,   // the row is in the result
  VERDICT_ALONE,  // nothing was changed, or not this row; the task runs the statement for itself
  VERDICT_UNKNOWN,
};

struct batch;

struct pg_waiting_change {
  struct list node;     // in pg_statement_entry.changes, until it is in a batch; in lone_changes while it runs alone
  struct batch *batch;  // NULL while no batch has taken it
  size_t place;         // in the batch
  const struct pg_change *change;
  uint64_t caller;
  uint64_t turn;                // its round: changes of a later round come behind all of an earlier one
  uint64_t deadline_us;         // the change is sent before it
  uint64_t answer_deadline_us;  // and its outcome is waited for until then
  struct arena *arena;
  struct pg_result *result;
  enum verdict verdict;
  struct completion completion;
};

enum batch_state {
  BATCH_MADE,  // it waits for a connection, and changes may still leave it
  BATCH_SENT,
};

struct batch {
  struct pg *pg;
  struct pg_statement_entry *entry;
  struct task *task;
  enum batch_state state;
  size_t count;
  size_t waiting;                                  // those whose tasks wait and have not left
  struct pg_waiting_change *changes[MAX_CHANGES];  // NULL once a change has its verdict or has left
};

static bool has_time(uint64_t deadline_us)
{
  return deadline_us == DEADLINE_NONE || deadline_left_ms(deadline_us, clock_now_us()) >= LEAST_TIME_LEFT_MS;
}

// ---- the batch ----

static void end_change(struct pg_waiting_change *waiting, enum verdict verdict)
{
  waiting->batch->changes[waiting->place] = NULL;
  waiting->verdict = verdict;
  completion_finish(&waiting->completion, STATUS_OK);
}

static void end_all(struct batch *batch, enum verdict verdict)
{
  for (size_t i = 0; i < batch->count; i++)
    if (batch->changes[i] != NULL)
      end_change(batch->changes[i], verdict);
}

static void hand_out_rows(struct batch *batch, const struct pg_result *result)
{
  // Without RETURNING every change would look as if no row fitted it, and would be made twice.
  CHECK(result->columns > 0);
  for (size_t row = 0; row < result->rows; row++) {
    int64_t place = pg_int(result, row, result->columns - 1);
    CHECK(place >= 1 && place <= (int64_t)batch->count);
    struct pg_waiting_change *waiting = batch->changes[place - 1];
    // Where several rows fit a change, its caller gets the first.
    if (waiting == NULL)
      continue;
    pg_result_copy_row(waiting->result, waiting->arena, result, row, result->columns - 1);
    waiting->result->affected = 1;
    end_change(waiting, VERDICT_DONE);
  }
}

// Orders changes by their keys: two batches that want the same rows lock them in the same order.
static int compare_keys(const void *a, const void *b)
{
  const struct pg_waiting_change *first = *(struct pg_waiting_change *const *)a;
  const struct pg_waiting_change *second = *(struct pg_waiting_change *const *)b;
  return strcmp(first->change->key, second->change->key);
}

// Leaves in the batch what is sent now, and gives each change its place.
static void arrange_changes(struct batch *batch)
{
  size_t count = 0;
  for (size_t i = 0; i < batch->count; i++) {
    struct pg_waiting_change *waiting = batch->changes[i];
    if (waiting != NULL && !has_time(waiting->deadline_us))
      end_change(waiting, VERDICT_ALONE);
    else if (waiting != NULL)
      batch->changes[count++] = waiting;
  }
  batch->count = count;
  batch->waiting = count;
  qsort(batch->changes, count, sizeof(batch->changes[0]), compare_keys);
  for (size_t i = 0; i < count; i++)
    batch->changes[i]->place = i;
}

static void add_params(const struct batch *batch, struct pg_params *params)
{
  const void *items[MAX_CHANGES];
  for (size_t i = 0; i < batch->count; i++)
    items[i] = batch->changes[i]->change->item;
  const struct pg_change *first = batch->changes[0]->change;
  // Copies what it takes from the items, because a task that leaves takes its own away.
  first->add_params(first->arg, params, items, batch->count);
}

static void run_statement(struct batch *batch, struct pg_connection *connection, struct arena *arena)
{
  struct pg *pg = batch->pg;
  struct pg_params params;
  pg_params_init(&params, arena);
  add_params(batch, &params);
  struct pg_result result = {0};
  struct pg_execution execution = {
      .statement = batch->entry->statement, .params = &params, .arena = arena, .result = &result};
  batch->state = BATCH_SENT;
  uint64_t started_us = loop_now_us(pg->loop);
  enum status status = pg_pool_run(connection, pg_request_create(pg, batch->entry, PG_SINGLE, &execution));
  pg_count_outcome(pg, batch->entry, status, started_us);
  if (status != STATUS_OK)
    return;
  // What has failed tells nothing, because it may have waited for a lock.
  uint64_t now_us = loop_now_us(pg->loop);
  queue_limit_note_service(&pg->change_limit, now_us > started_us ? now_us - started_us : 0);
  hand_out_rows(batch, &result);
}

static void run_on_connection(struct batch *batch, struct pg_connection *connection)
{
  arrange_changes(batch);
  for (size_t i = 0; i < batch->count; i++)
    (void)task_tighten_deadline(batch->changes[i]->answer_deadline_us);
  if (batch->count == 0 || task_check() != STATUS_OK)
    return;
  struct arena arena = {0};
  run_statement(batch, connection, &arena);
  arena_free(&arena);
}

static enum status borrow_connection(struct pg *pg, struct pg_connection **connection)
{
  // The tasks themselves wait for a server that is away.
  if (!pg_ready(pg))
    return STATUS_UNAVAILABLE;
  uint64_t before = task_tighten_deadline(deadline_after_ms(clock_now_us(), CONNECTION_WAIT_MS));
  enum status status = pg_pool_borrow(&pg->gathered, false, connection);
  task_restore_deadline(before);
  return status;
}

static void run_batch(void *arg)
{
  struct batch *batch = arg;
  struct pg_connection *connection = NULL;
  if (borrow_connection(batch->pg, &connection) == STATUS_OK) {
    run_on_connection(batch, connection);
    pg_pool_return(connection);
  }
  end_all(batch, task_effect() == TASK_EFFECT_UNKNOWN ? VERDICT_UNKNOWN : VERDICT_ALONE);
  batch->pg->change_batches--;
  free(batch);
}

// ---- making batches ----

static void count_waiting(struct pg *pg, struct pg_statement_entry *entry, int change)
{
  entry->change_count += (size_t)change;
  pg->waiting_changes += (size_t)change;
  queue_limit_note_waiting(&pg->change_limit, pg->waiting_changes, loop_now_us(pg->loop));
}

static void remove_waiting(struct pg *pg, struct pg_statement_entry *entry, struct pg_waiting_change *waiting)
{
  list_remove(&waiting->node);
  count_waiting(pg, entry, -1);
}

static void start_batch(struct pg *pg, struct pg_statement_entry *entry)
{
  struct batch *batch = malloc(sizeof(*batch));
  CHECK(batch != NULL);
  *batch = (struct batch){.pg = pg, .entry = entry};
  while (!list_empty(&entry->changes) && batch->count < MAX_CHANGES) {
    struct pg_waiting_change *waiting = CONTAINER_OF(entry->changes.next, struct pg_waiting_change, node);
    remove_waiting(pg, entry, waiting);
    waiting->batch = batch;
    waiting->place = batch->count;
    batch->changes[batch->count++] = waiting;
  }
  batch->waiting = batch->count;
  pg->change_batches++;
  pg->batch_began_us = clock_now_us();
  batch->task = task_start(pg->loop, run_batch, batch, DEADLINE_NONE, NULL);
}

// Tells whether a batch of the statement is worth starting now. Where not, the end of the batch that is under way or
// the timer dispatches again.
static bool is_worth_starting(struct pg *pg, const struct pg_statement_entry *entry)
{
  if (pg->change_batches == 0 || entry->change_count >= WORTH_ANOTHER)
    return true;
  uint64_t slow_us = deadline_after_ms(pg->batch_began_us, SLOW_BATCH_MS);
  uint64_t now_us = clock_now_us();
  if (now_us >= slow_us)
    return true;
  loop_timer_start(pg->batch_timer, deadline_left_ms(slow_us, now_us));
  return false;
}

void pg_change_dispatch(struct pg *pg)
{
  while (!list_empty(&pg->changing) && pg->change_batches < PG_GATHERED_CONNECTIONS) {
    struct pg_statement_entry *entry = CONTAINER_OF(pg->changing.next, struct pg_statement_entry, changing);
    if (!is_worth_starting(pg, entry))
      return;
    start_batch(pg, entry);
    list_remove(&entry->changing);
    if (!list_empty(&entry->changes))
      list_append(&pg->changing, &entry->changing);
  }
}

// ---- the tasks ----

static struct pg_waiting_change *change_at(struct list *node)
{
  return CONTAINER_OF(node, struct pg_waiting_change, node);
}

// Returns the round of the changes that are next.
static uint64_t first_turn(const struct pg_statement_entry *entry)
{
  return list_empty(&entry->changes) ? 0 : change_at(entry->changes.next)->turn;
}

// Returns the round of a caller's next change. Callers take turns: the second change of one comes behind the first of
// each other one.
static uint64_t find_turn(const struct pg_statement_entry *entry, uint64_t caller)
{
  struct list *before = entry->changes.previous;
  while (before != &entry->changes && change_at(before)->caller != caller)
    before = before->previous;
  return before != &entry->changes ? change_at(before)->turn + 1 : first_turn(entry);
}

// Returns how many batches start before that of a change that would come now in that round.
static size_t count_batches_ahead(const struct pg *pg, const struct pg_statement_entry *entry, uint64_t turn)
{
  size_t ahead = entry->change_count;
  for (struct list *node = entry->changes.previous; ahead > 0 && change_at(node)->turn > turn; node = node->previous)
    ahead--;
  if (ahead < ALWAYS_WAIT)
    return 0;
  // Statements take turns, too.
  size_t statements = list_empty(&entry->changing) ? 1 : 0;
  for (const struct list *node = pg->changing.next; node != &pg->changing; node = node->next)
    statements++;
  return ahead / MAX_CHANGES * statements;
}

// Tells whether a change of that round may wait. What works for no caller always may.
static bool may_wait(const struct pg *pg, const struct pg_statement_entry *entry,
                     const struct pg_waiting_change *change)
{
  return change->caller == 0 ||
         pg_may_queue(pg, &pg->change_limit, count_batches_ahead(pg, entry, change->turn), PG_GATHERED_CONNECTIONS);
}

static void queue_change(struct pg *pg, struct pg_statement_entry *entry, struct pg_waiting_change *waiting)
{
  struct list *after = entry->changes.previous;
  while (after != &entry->changes && change_at(after)->turn > waiting->turn)
    after = after->previous;
  list_append(after->next, &waiting->node);
  count_waiting(pg, entry, 1);
  if (list_empty(&entry->changing))
    list_append(&pg->changing, &entry->changing);
}

static void leave_queue(struct pg *pg, struct pg_statement_entry *entry, struct pg_waiting_change *waiting)
{
  remove_waiting(pg, entry, waiting);
  if (list_empty(&entry->changes))
    list_remove(&entry->changing);
}

static void leave_place(struct pg_waiting_change *waiting)
{
  waiting->batch->changes[waiting->place] = NULL;
}

static void leave_batch(struct pg_waiting_change *waiting)
{
  struct batch *batch = waiting->batch;
  if (--batch->waiting == 0) {
    // The batch ends soon, because it has been cancelled.
    task_cancel(batch->task);
    CHECK(pg_wait_shielded(&waiting->completion, DEADLINE_NONE) == STATUS_OK);
  } else if (batch->state == BATCH_MADE) {
    leave_place(waiting);
  } else if (pg_wait_shielded(&waiting->completion, pg_outcome_deadline_us()) != STATUS_OK) {
    leave_place(waiting);
    waiting->verdict = VERDICT_UNKNOWN;
  }
}

// Waits for the verdict. Fails where the task is overdue or cancelled, whatever the verdict is then.
static enum status wait_for_verdict(struct pg *pg, struct pg_statement_entry *entry, struct pg_waiting_change *waiting)
{
  enum status status = completion_wait(&waiting->completion);
  if (!waiting->completion.done && waiting->batch != NULL && waiting->batch->state == BATCH_SENT)
    status = pg_wait_for_answer(&waiting->completion);
  if (waiting->completion.done)
    return STATUS_OK;
  if (waiting->batch == NULL)
    leave_queue(pg, entry, waiting);
  else
    leave_batch(waiting);
  return status;
}

static enum status refuse_change(struct pg *pg, const struct pg_statement_entry *entry)
{
  metric_add(pg->refused, 1);
  // Else only this caller wants too much, or has too little time.
  size_t ahead = count_batches_ahead(pg, entry, first_turn(entry));
  if (!queue_limit_admits(&pg->change_limit, ahead, PG_GATHERED_CONNECTIONS, loop_now_us(pg->loop)))
    task_note_full();
  return STATUS_RESOURCE_EXHAUSTED;
}

// Asks for a change in a batch. OK without a row where the verdict is ALONE.
static enum status change_gathered(struct pg *pg, struct pg_statement_entry *entry, struct pg_waiting_change *waiting)
{
  waiting->turn = find_turn(entry, waiting->caller);
  if (!may_wait(pg, entry, waiting))
    return refuse_change(pg, entry);
  queue_change(pg, entry, waiting);
  enum status status = wait_for_verdict(pg, entry, waiting);
  switch (waiting->verdict) {
  case VERDICT_DONE:
    task_note_effect(TASK_EFFECT_DONE);
    return STATUS_OK;
  case VERDICT_UNKNOWN:
    task_note_effect(TASK_EFFECT_UNKNOWN);
    return status == STATUS_OK ? STATUS_UNAVAILABLE : status;
  case VERDICT_OPEN:
  case VERDICT_ALONE:
    break;
  }
  return status == STATUS_OK || pg_ready(pg) ? status : STATUS_UNAVAILABLE;
}

// Tells whether a change of the same row runs alone, perhaps because the row is locked. A batch would fail as well.
static bool runs_alone(const struct pg_statement_entry *entry, const char *key)
{
  for (const struct list *node = entry->lone_changes.next; node != &entry->lone_changes; node = node->next)
    if (strcmp(CONTAINER_OF(node, const struct pg_waiting_change, node)->change->key, key) == 0)
      return true;
  return false;
}

static enum status change_alone(struct pg *pg, struct pg_statement_entry *entry, struct pg_waiting_change *lone)
{
  const struct pg_change *change = lone->change;
  struct pg_result *result = lone->result;
  struct pg_params params;
  pg_params_init(&params, lone->arena);
  change->add_params(change->arg, &params, &change->item, 1);
  list_append(&entry->lone_changes, &lone->node);
  enum status status = pg_query(pg, change->statement, &params, lone->arena, result);
  list_remove(&lone->node);
  if (status != STATUS_OK || result->rows == 0)
    return status;
  // The place is left out. Where several rows fit the change, its caller gets the first.
  result->rows = 1;
  result->columns--;
  return STATUS_OK;
}

enum status pg_change_row(struct pg *pg, const struct pg_change *change, struct arena *arena, struct pg_result *result)
{
  CHECK(change->statement->lane == PG_LANE_WRITE);
  *result = (struct pg_result){0};
  struct pg_statement_entry *entry = pg_find_statement(pg, change->statement);
  struct pg_waiting_change waiting = {.change = change,
                                      .caller = task_caller(),
                                      .deadline_us = task_deadline_us(),
                                      .answer_deadline_us = task_answer_deadline_us(),
                                      .arena = arena,
                                      .result = result,
                                      .completion = {.what = change->statement->name}};
  if (!pg_ready(pg) || !has_time(waiting.deadline_us) || runs_alone(entry, change->key))
    return change_alone(pg, entry, &waiting);
  enum status status = change_gathered(pg, entry, &waiting);
  if (status == STATUS_OK && waiting.verdict == VERDICT_ALONE)
    return change_alone(pg, entry, &waiting);
  return pg_note_cause(pg, change->statement->name, status);
}
