// Life, the table of statements, single statements, and the hook at the end of each turn that hands them out.
#include "common/storage/pg.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/observe/log.h"
#include "common/storage/pg_internal.h"

enum { DEFAULT_SHARED = 2, DEFAULT_EXCLUSIVE = 8, USABLE_WAIT_MS = 2000 };

struct pg_ready_waiter {
  struct list node;
  struct completion completion;
};

// ---- requests ----

struct pg_request *pg_request_new(struct pg *pg, const struct pg_statement *statement)
{
  struct pg_request *request;
  if (list_empty(&pg->free_requests)) {
    request = malloc(sizeof(*request));
    CHECK(request != NULL);
  } else {
    request = CONTAINER_OF(pg->free_requests.next, struct pg_request, node);
    list_remove(&request->node);
  }
  *request = (struct pg_request){.known = pg_known_find(pg, statement)};
  list_init(&request->node);
  return request;
}

void pg_request_release(struct pg *pg, struct pg_request *request)
{
  list_append(&pg->free_requests, &request->node);
}

void pg_request_finish(struct pg *pg, struct pg_request *request, enum status status)
{
  if (request->abandoned)
    pg_request_release(pg, request);
  else
    completion_finish(&request->completion, status);
}

void pg_request_reset(struct pg_request *request)
{
  request->again = false;
  request->lost = false;
  request->status = STATUS_OK;
  request->completion = (struct completion)COMPLETION_INIT;
}

void pg_request_again(struct pg *pg, struct pg_request *request)
{
  request->again = false;
  request->alone = true;
  request->status = STATUS_OK;
  list_append(&pg->others, &request->node);
}

// ---- statements ----

static size_t place_of(const struct pg *pg, const struct pg_statement *statement)
{
  size_t place = (size_t)(((uintptr_t)statement >> 4) * UINT64_C(0x9E3779B97F4A7C15) >> 32) & (pg->known_capacity - 1);
  while (pg->known[place] != NULL && pg->known[place]->statement != statement)
    place = (place + 1) & (pg->known_capacity - 1);
  return place;
}

static void grow_known(struct pg *pg)
{
  struct pg_known **old = pg->known;
  size_t old_capacity = pg->known_capacity;
  pg->known_capacity = old_capacity == 0 ? 64 : old_capacity * 2;
  pg->known = calloc(pg->known_capacity, sizeof(struct pg_known *));
  CHECK(pg->known != NULL);
  for (size_t i = 0; i < old_capacity; i++)
    if (old[i] != NULL)
      pg->known[place_of(pg, old[i]->statement)] = old[i];
  free(old);
}

static struct pg_known *learn(struct pg *pg, const struct pg_statement *statement)
{
  // Two statements of one name would be one prepared statement in the server.
  for (size_t i = 0; i < pg->known_capacity; i++)
    CHECK(pg->known[i] == NULL || strcmp(pg->known[i]->statement->name, statement->name) != 0);
  if (pg->known_count * 2 >= pg->known_capacity)
    grow_known(pg);
  struct pg_known *known = calloc(1, sizeof(*known));
  CHECK(known != NULL);
  struct slice name = slice_from_string(statement->name);
  known->statement = statement;
  known->index = pg->known_count++;
  list_init(&known->gathered);
  list_init(&known->gathering);
  known->duration = metrics_series(METRIC_PG_DURATION, &name, 1);
  pg->known[place_of(pg, statement)] = known;
  return known;
}

struct pg_known *pg_known_find(struct pg *pg, const struct pg_statement *statement)
{
  struct pg_known *known = pg->known[place_of(pg, statement)];
  return known != NULL ? known : learn(pg, statement);
}

void pg_known_ended(struct pg *pg, struct pg_known *known, enum status status, uint64_t started_us)
{
  if (known->ended[status] == NULL) {
    struct slice labels[] = {slice_from_string(known->statement->name), slice_from_string(status_name(status))};
    known->ended[status] = metrics_series(METRIC_PG_QUERIES, labels, ARRAY_LEN(labels));
  }
  metric_add(known->ended[status], 1);
  uint64_t now_us = loop_now_us(pg->loop);
  metric_observe_us(known->duration, now_us > started_us ? now_us - started_us : 0);
}

// ---- handing out ----

// The least loaded one that is open and has room; NULL when there is none.
static struct pg_connection *pick(struct pg *pg)
{
  struct pg_connection *best = NULL;
  for (size_t i = 0; i < pg->shared_count; i++) {
    struct pg_connection *c = &pg->shared[i];
    if (c->state != PG_OPEN || c->in_flight >= PG_MAX_IN_FLIGHT)
      continue;
    if (best == NULL || c->in_flight < best->in_flight)
      best = c;
  }
  return best;
}

static void hand_out(struct pg *pg, struct list *line)
{
  struct pg_connection *c;
  while (!list_empty(line) && (c = pick(pg)) != NULL) {
    struct pg_request *request = CONTAINER_OF(line->next, struct pg_request, node);
    list_remove(&request->node);
    pg_pipeline_send(c, request);
  }
}

// Writes first, each with its own Sync; then the reads, in one group a connection.
static void end_of_turn(void *arg)
{
  struct pg *pg = arg;
  pg_gather_send(pg);
  if (list_empty(&pg->reads) && list_empty(&pg->others))
    return;
  hand_out(pg, &pg->others);
  hand_out(pg, &pg->reads);
  for (size_t i = 0; i < pg->shared_count; i++)
    if (pg->shared[i].step_count > 0)
      pg_pipeline_flush(&pg->shared[i]);
}

// ---- life ----

static struct pg_connection *make_connections(struct pg *pg, size_t count, enum pg_use use)
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

struct pg *pg_create(struct loop *loop, const struct pg_options *options)
{
  struct pg *pg = calloc(1, sizeof(*pg));
  CHECK(pg != NULL);
  pg->loop = loop;
  list_init(&pg->reads);
  list_init(&pg->others);
  list_init(&pg->gathering);
  list_init(&pg->free_requests);
  list_init(&pg->ready_waiters);
  list_init(&pg->exclusive_waiters);
  pg->connections = metrics_single(METRIC_PG_CONNECTIONS);
  pg->connects_ok = connects_series("ok");
  pg->connects_failed = connects_series("failed");
  pg->cancels = metrics_single(METRIC_PG_CANCELS);
  pg_conninfo_make(pg, options);
  grow_known(pg);
  pg->hook = (struct loop_hook){.run = end_of_turn, .arg = pg};
  loop_hook_add(loop, &pg->hook);
  pg->shared_count = options->pipelined_connections == 0 ? DEFAULT_SHARED : options->pipelined_connections;
  pg->shared = make_connections(pg, pg->shared_count, PG_SHARED);
  pg->exclusive_count = options->max_dedicated == 0 ? DEFAULT_EXCLUSIVE : options->max_dedicated;
  pg->exclusive = make_connections(pg, pg->exclusive_count, PG_UNUSED);
  for (size_t i = 0; i < pg->shared_count; i++)
    pg_connection_open(&pg->shared[i]);
  return pg;
}

static void free_connections(struct pg_connection *connections, size_t count)
{
  for (size_t i = 0; i < count; i++)
    pg_connection_destroy(&connections[i]);
  free(connections);
}

// Those that are left belong to callers who left early; anybody else's would be finished later, in freed memory.
static void check_abandoned(const struct pg *pg)
{
  for (size_t i = 0; i < pg->shared_count; i++) {
    const struct pg_connection *c = &pg->shared[i];
    for (size_t step = 0; step < c->step_count; step++) {
      const struct pg_request *request = c->steps[(c->first_step + step) & (c->step_capacity - 1)].request;
      CHECK(request == NULL || request->abandoned);
    }
  }
}

void pg_free(struct pg **pg)
{
  struct pg *ended = *pg;
  if (ended == NULL)
    return;
  *pg = NULL;
  CHECK(list_empty(&ended->reads) && list_empty(&ended->others) && list_empty(&ended->gathering));
  CHECK(ended->borrowed == 0);
  CHECK(list_empty(&ended->ready_waiters) && list_empty(&ended->exclusive_waiters));
  check_abandoned(ended);
  loop_hook_remove(&ended->hook);
  free_connections(ended->shared, ended->shared_count);
  free_connections(ended->exclusive, ended->exclusive_count);
  while (!list_empty(&ended->free_requests)) {
    struct pg_request *request = CONTAINER_OF(ended->free_requests.next, struct pg_request, node);
    list_remove(&request->node);
    free(request);
  }
  for (size_t i = 0; i < ended->known_capacity; i++)
    free(ended->known[i]);
  free(ended->known);
  pg_conninfo_free(ended);
  free(ended);
}

// ---- readiness ----

bool pg_ready(const struct pg *pg)
{
  for (size_t i = 0; i < pg->shared_count; i++)
    if (pg->shared[i].state == PG_OPEN)
      return true;
  return false;
}

void pg_became_ready(struct pg *pg)
{
  while (!list_empty(&pg->ready_waiters)) {
    struct pg_ready_waiter *waiter = CONTAINER_OF(pg->ready_waiters.next, struct pg_ready_waiter, node);
    list_remove(&waiter->node);
    completion_finish(&waiter->completion, STATUS_OK);
  }
}

enum status pg_wait_ready(struct pg *pg)
{
  if (pg_ready(pg))
    return STATUS_OK;
  struct pg_ready_waiter waiter = {.completion = COMPLETION_INIT};
  list_append(&pg->ready_waiters, &waiter.node);
  enum status status = completion_wait(&waiter.completion);
  list_remove(&waiter.node);
  return status;
}

enum status pg_wait_usable(struct pg *pg)
{
  enum status status = task_check();
  if (status != STATUS_OK || pg_ready(pg))
    return status;
  uint64_t now_us = loop_now_us(pg->loop);
  uint64_t wait_ms = USABLE_WAIT_MS;
  if (task_deadline_us() != DEADLINE_NONE && deadline_left_ms(task_deadline_us(), now_us) / 2 < wait_ms)
    wait_ms = deadline_left_ms(task_deadline_us(), now_us) / 2;
  uint64_t before = task_tighten_deadline(deadline_after_ms(now_us, wait_ms));
  status = pg_wait_ready(pg);
  task_restore_deadline(before);
  return status == STATUS_DEADLINE_EXCEEDED ? STATUS_UNAVAILABLE : status;
}

// ---- single statements ----

// On a shared connection nothing is cancelled: it could hit a neighbour. What was sent is drained and dropped; then
// `*left` is true and the request not ours any more.
static enum status wait_shared(struct pg *pg, struct pg_request *request, bool *left)
{
  enum status status = completion_wait(&request->completion);
  if (request->completion.done)
    return request->completion.status;
  *left = list_empty(&request->node);
  request->abandoned = *left;
  list_remove(&request->node);
  return *left || pg_ready(pg) ? status : STATUS_UNAVAILABLE;
}

static enum status run_shared(struct pg *pg, struct pg_request *request)
{
  bool read_only = request->known->statement->read_only;
  bool left = false;
  bool retry = read_only;
  enum status status;
  for (;;) {
    status = pg_wait_usable(pg);
    if (status != STATUS_OK)
      break;
    request->alone = !read_only;
    list_append(read_only ? &pg->reads : &pg->others, &request->node);
    status = wait_shared(pg, request, &left);
    if (left)
      return status;
    if (!request->lost || !retry)
      break;
    retry = false;
    pg_request_reset(request);
  }
  pg_request_release(pg, request);
  return status;
}

static enum status run_exclusive(struct pg *pg, struct pg_request *request)
{
  struct pg_connection *connection = NULL;
  enum status status = pg_exclusive_borrow(pg, &connection);
  if (status != STATUS_OK) {
    pg_request_release(pg, request);
    return status;
  }
  request->alone = true;
  status = pg_exclusive_run(connection, request);
  pg_exclusive_return(connection);
  return status;
}

enum status pg_query(struct pg *pg, const struct pg_statement *statement, const struct pg_params *params,
                     struct arena *arena, struct pg_result *result)
{
  uint64_t started_us = loop_now_us(pg->loop);
  *result = (struct pg_result){0};
  struct pg_request *request = pg_request_new(pg, statement);
  struct pg_known *known = request->known;
  request->params = params;
  request->arena = arena;
  request->result = result;
  enum status status = statement->dedicated ? run_exclusive(pg, request) : run_shared(pg, request);
  pg_known_ended(pg, known, status, started_us);
  return status;
}
