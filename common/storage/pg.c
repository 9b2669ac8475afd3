// Creating and freeing, readiness, and dispatching the point reads of a turn of the loop at its end.
#include "common/storage/pg.h"

#include <stdlib.h>

#include "common/base/check.h"
#include "common/storage/pg_internal.h"
#include "common/storage/pg_vanished_internal.h"

enum { DEFAULT_PIPELINED = 2, DEFAULT_WRITES = 8, DEFAULT_SCANS = 4, USABLE_WAIT_MS = 2000 };

// A batch of changes that cannot have a lock within 10 ms fails, and each of its changes waits for the lock by itself.
static const struct pg_statement HURRY = {.name = "set the lock timeout of gathered changes",
                                          .sql = "SET lock_timeout = 10"};

struct pg_ready_waiter {
  struct list node;
  struct completion completion;
};

// ---- dispatching ----

// Returns the open pipelined connection with the fewest requests in flight; NULL when each is closed or full.
static struct pg_connection *pick_connection(struct pg *pg)
{
  struct pg_connection *best = NULL;
  for (size_t i = 0; i < pg->pipelined_count; i++) {
    struct pg_connection *c = &pg->pipelined[i];
    if (!pg_connection_usable(c) || c->in_flight >= PG_MAX_IN_FLIGHT)
      continue;
    if (best == NULL || c->in_flight < best->in_flight)
      best = c;
  }
  return best;
}

// Sends what is queued. A request that is overdue by now is not sent, and ends.
static void dispatch_queue(struct pg *pg, struct list *queue)
{
  struct pg_connection *c;
  while (!list_empty(queue) && (c = pick_connection(pg)) != NULL) {
    struct pg_request *request = CONTAINER_OF(queue->next, struct pg_request, node);
    list_remove(&request->node);
    if (clock_now_us() < request->deadline_us)
      pg_pipeline_send(c, request);
    else
      pg_request_finish(pg, request, STATUS_DEADLINE_EXCEEDED);
  }
}

// Sends the singles first, each with its own Sync; then the reads, one group on each connection.
static void dispatch_turn(void *arg)
{
  struct pg *pg = arg;
  pg_gather_dispatch(pg);
  pg_change_dispatch(pg);
  if (list_empty(&pg->reads) && list_empty(&pg->singles))
    return;
  dispatch_queue(pg, &pg->singles);
  dispatch_queue(pg, &pg->reads);
  for (size_t i = 0; i < pg->pipelined_count; i++)
    if (pg->pipelined[i].command_count > 0)
      pg_pipeline_flush(&pg->pipelined[i]);
}

static void handle_batch_timer(void *arg)
{
  pg_change_dispatch(arg);
}

// ---- creating and freeing ----

static struct pg_connection *make_connections(struct pg *pg, size_t count, enum pg_connection_use use)
{
  struct pg_connection *connections = calloc(count, sizeof(*connections));
  CHECK(connections != NULL);
  for (size_t i = 0; i < count; i++)
    pg_connection_init(&connections[i], pg, use);
  return connections;
}

static struct metric_series *connects_series(const char *result)
{
  struct slice label = slice_from_string(result);
  return metrics_series(METRIC_PG_CONNECTS, &label, 1);
}

static void init_lists(struct pg *pg)
{
  struct list *lists[] = {&pg->reads,         &pg->singles,       &pg->gathering, &pg->changing,
                          &pg->free_requests, &pg->ready_waiters, &pg->all};
  for (size_t i = 0; i < ARRAY_LEN(lists); i++)
    list_init(lists[i]);
}

struct pg *pg_create(struct loop *loop, const struct pg_options *options)
{
  struct pg *pg = calloc(1, sizeof(*pg));
  CHECK(pg != NULL);
  pg->loop = loop;
  init_lists(pg);
  pg->up = metrics_single(METRIC_PG_UP);
  pg->connections = metrics_single(METRIC_PG_CONNECTIONS);
  pg->connects_ok = connects_series("ok");
  pg->connects_failed = connects_series("failed");
  pg->cancels = metrics_single(METRIC_PG_CANCELS);
  pg->refused = metrics_single(METRIC_PG_REFUSED);
  pg_conninfo_init(pg, options);
  pg->hook = (struct loop_hook){.run = dispatch_turn, .arg = pg};
  loop_hook_add(loop, &pg->hook);
  pg->statement_timeout_ms =
      options->statement_timeout_ms == 0 ? PG_STATEMENT_TIMEOUT_MS : options->statement_timeout_ms;
  pg->pipelined_count = options->pipelined_connections == 0 ? DEFAULT_PIPELINED : options->pipelined_connections;
  pg->pipelined = make_connections(pg, pg->pipelined_count, PG_PIPELINED);
  pg_probe_init(&pg->probe, pg);
  pg_pool_init(&pg->writes, pg, "a connection for writes to PostgreSQL",
               options->write_connections == 0 ? DEFAULT_WRITES : options->write_connections);
  pg_pool_init(&pg->scans, pg, "a connection for scans of PostgreSQL",
               options->scan_connections == 0 ? DEFAULT_SCANS : options->scan_connections);
  pg_pool_init(&pg->gathered, pg, "a connection for gathered changes to PostgreSQL", PG_GATHERED_CONNECTIONS);
  pg->batch_timer = loop_timer_create(loop, handle_batch_timer, pg);
  pg->gathered.preparation = &HURRY;
  for (size_t i = 0; i < pg->pipelined_count; i++)
    pg_connection_open(&pg->pipelined[i]);
  pg_vanished_watch(pg);
  return pg;
}

static void free_connections(struct pg_connection *connections, size_t count)
{
  for (size_t i = 0; i < count; i++)
    pg_connection_destroy(&connections[i]);
  free(connections);
}

// Only abandoned requests may be left. A waiting task would be woken later, in freed memory.
static void check_abandoned(const struct pg *pg)
{
  for (size_t i = 0; i < pg->pipelined_count; i++) {
    const struct pg_connection *c = &pg->pipelined[i];
    for (size_t n = 0; n < c->command_count; n++) {
      const struct pg_request *request = c->commands[(c->first_command + n) & (c->command_capacity - 1)].request;
      CHECK(request == NULL || request->state == PG_REQUEST_ABANDONED);
    }
  }
}

static void free_requests(struct pg *pg)
{
  while (!list_empty(&pg->free_requests)) {
    struct pg_request *request = CONTAINER_OF(pg->free_requests.next, struct pg_request, node);
    list_remove(&request->node);
    free(request);
  }
}

void pg_free(struct pg **pg)
{
  struct pg *ended = *pg;
  if (ended == NULL)
    return;
  *pg = NULL;
  CHECK(list_empty(&ended->reads) && list_empty(&ended->singles) && list_empty(&ended->gathering));
  CHECK(list_empty(&ended->changing) && ended->change_batches == 0 && list_empty(&ended->ready_waiters));
  check_abandoned(ended);
  loop_hook_remove(&ended->hook);
  pg_probe_destroy(&ended->probe);
  free_connections(ended->pipelined, ended->pipelined_count);
  ended->pipelined_count = 0;
  pg_pool_destroy(&ended->writes);
  pg_pool_destroy(&ended->scans);
  pg_pool_destroy(&ended->gathered);
  loop_timer_free(&ended->batch_timer);
  if (ended->vanished_timer != NULL)
    loop_timer_free(&ended->vanished_timer);
  free_requests(ended);
  pg_free_statements(ended);
  pg_conninfo_free(ended);
  free(ended);
}

// ---- readiness ----

bool pg_is_connected(const struct pg *pg)
{
  for (size_t i = 0; i < pg->pipelined_count; i++)
    if (pg_connection_established(&pg->pipelined[i]))
      return true;
  return false;
}

bool pg_ready(const struct pg *pg)
{
  return !pg_probe_is_silent(&pg->probe) && pg_is_connected(pg);
}

void pg_show_ready(struct pg *pg)
{
  metric_set(pg->up, pg_ready(pg) ? 1 : 0);
}

void pg_became_ready(struct pg *pg)
{
  while (!list_empty(&pg->ready_waiters)) {
    struct pg_ready_waiter *waiter = CONTAINER_OF(pg->ready_waiters.next, struct pg_ready_waiter, node);
    list_remove(&waiter->node);
    completion_finish(&waiter->completion, STATUS_OK);
  }
}

static size_t count_channels(const struct pg *pg)
{
  size_t count = 0;
  for (const struct list *node = pg->all.next; node != &pg->all; node = node->next)
    count += CONTAINER_OF(node, const struct pg_connection, node)->use == PG_LISTENING;
  return count;
}

size_t pg_connections_at_most(const struct pg *pg)
{
  enum { PROBE = 1 };
  return pg->pipelined_count + pg->writes.count + pg->scans.count + pg->gathered.count + count_channels(pg) + PROBE;
}

enum status pg_wait_ready(struct pg *pg)
{
  if (pg_ready(pg))
    return STATUS_OK;
  struct pg_ready_waiter waiter = {.completion = {.what = "a connection to PostgreSQL"}};
  list_append(&pg->ready_waiters, &waiter.node);
  enum status status = completion_wait(&waiter.completion);
  list_remove(&waiter.node);
  return status;
}

// An outage that has just begun may end soon. In one that lasts, all would wait for nothing.
static uint64_t find_usable_wait_ms(const struct pg *pg, uint64_t now_us)
{
  uint64_t began_us = now_us;
  if (pg->probe.silent_since_us != 0)
    began_us = pg->probe.silent_since_us;
  else if (pg->unready_since_us != 0)
    began_us = pg->unready_since_us;
  return deadline_left_ms(deadline_after_ms(began_us, USABLE_WAIT_MS), now_us);
}

enum status pg_wait_usable(struct pg *pg)
{
  enum status status = task_check();
  if (status != STATUS_OK || pg_ready(pg))
    return status;
  uint64_t now_us = loop_now_us(pg->loop);
  uint64_t wait_ms = find_usable_wait_ms(pg, now_us);
  if (wait_ms == 0)
    return STATUS_UNAVAILABLE;
  if (task_deadline_us() != DEADLINE_NONE && deadline_left_ms(task_deadline_us(), now_us) / 2 < wait_ms)
    wait_ms = deadline_left_ms(task_deadline_us(), now_us) / 2;
  uint64_t before = task_tighten_deadline(deadline_after_ms(now_us, wait_ms));
  status = pg_wait_ready(pg);
  task_restore_deadline(before);
  return status == STATUS_DEADLINE_EXCEEDED ? STATUS_UNAVAILABLE : status;
}

bool pg_may_queue(const struct pg *pg, const struct queue_limit *limit, size_t ahead, size_t servers)
{
  uint64_t now_us = loop_now_us(pg->loop);
  uint64_t begin_us = now_us + queue_limit_wait_us(limit, ahead, servers);
  bool is_in_time = ahead < servers || begin_us < task_deadline_us();
  return is_in_time && queue_limit_admits(limit, ahead, servers, now_us);
}
