#include "services/auth/hash_queue.h"

#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/compiler.h"
#include "common/runtime/task.h"

// A new measurement counts as one part of this.
#define SMOOTHING 8

// A source with waiting tasks. It is freed when the last of them leaves.
struct source {
  struct list node;  // in hash_queue.turns
  struct list waiters;
  size_t count;
  size_t name_size;
  char name[];
};

// Lies on the stack of its task.
struct waiter {
  struct list node;
  struct source *source;
  struct completion granted;
};

void hash_queue_init(struct hash_queue *queue, size_t slots)
{
  *queue = (struct hash_queue){.free_slots = slots, .slots = slots};
  list_init(&queue->turns);
}

// Finds a source among those that wait: at most HASH_QUEUE_TOTAL.
static struct source *find_source(const struct hash_queue *queue, struct slice name)
{
  for (struct list *node = queue->turns.next; node != &queue->turns; node = node->next) {
    struct source *source = CONTAINER_OF(node, struct source, node);
    if (slice_equal(slice_make(source->name, source->name_size), name))
      return source;
  }
  return NULL;
}

static struct source *add_source(struct hash_queue *queue, struct slice name)
{
  struct source *source = calloc(1, sizeof(*source) + name.size);
  CHECK(source != NULL);
  source->name_size = name.size;
  if (name.size > 0)
    memcpy(source->name, name.data, name.size);
  list_init(&source->waiters);
  list_append(&queue->turns, &source->node);
  return source;
}

static void remove_waiter(struct hash_queue *queue, struct waiter *waiter)
{
  struct source *source = waiter->source;
  list_remove(&waiter->node);
  waiter->source = NULL;
  if (--queue->waiting == 0)
    queue->waiting_since_us = 0;
  source->count--;
  if (source->count > 0)
    return;
  list_remove(&source->node);
  free(source);
}

static void add_waiter(struct hash_queue *queue, struct source *source, struct waiter *waiter)
{
  waiter->source = source;
  list_append(&source->waiters, &waiter->node);
  source->count++;
  if (queue->waiting++ == 0)
    queue->waiting_since_us = clock_now_us();
}

// Waits for the grant until the queue's own time is up, or the task's. A waiter that is dropped returns the reason.
static enum status wait_for_grant(struct hash_queue *queue, struct waiter *waiter)
{
  uint64_t end_us = deadline_after_ms(clock_now_us(), HASH_QUEUE_WAIT_MS);
  bool is_ours = end_us < task_deadline_us();
  uint64_t before_us = task_tighten_deadline(end_us);
  enum status status = completion_wait(&waiter->granted);
  task_restore_deadline(before_us);
  if (waiter->granted.done)
    return waiter->granted.status;
  remove_waiter(queue, waiter);
  return status == STATUS_DEADLINE_EXCEEDED && is_ours ? STATUS_RESOURCE_EXHAUSTED : status;
}

// Finds the source with the most waiters; NULL where none waits.
static struct source *find_greediest(const struct hash_queue *queue)
{
  struct source *greediest = NULL;
  for (struct list *node = queue->turns.next; node != &queue->turns; node = node->next) {
    struct source *source = CONTAINER_OF(node, struct source, node);
    if (greediest == NULL || source->count > greediest->count)
      greediest = source;
  }
  return greediest;
}

// Takes its place from the newest waiter of a source.
static void drop_newest(struct hash_queue *queue, struct source *source)
{
  struct waiter *waiter = CONTAINER_OF(source->waiters.previous, struct waiter, node);
  remove_waiter(queue, waiter);
  completion_finish(&waiter->granted, STATUS_RESOURCE_EXHAUSTED);
}

static size_t count_sources(const struct hash_queue *queue)
{
  size_t count = 0;
  for (const struct list *node = queue->turns.next; node != &queue->turns; node = node->next)
    count++;
  return count;
}

// Returns how long one more of a source that has `count` waiters may wait.
static uint32_t find_patience_ms(const struct hash_queue *queue, size_t count, uint64_t now_us)
{
  bool is_steady =
      queue->waiting_since_us != 0 && now_us >= deadline_after_ms(queue->waiting_since_us, HASH_QUEUE_BURST_MS);
  return is_steady && count > 0 ? HASH_QUEUE_STEADY_MS : HASH_QUEUE_WAIT_MS;
}

// Tells whether the turn of one more of a source that has `count` waiters would come in time. Sources take turns:
// before it, each of the others is served as often as the source itself.
static bool comes_in_time(const struct hash_queue *queue, size_t count, uint64_t now_us)
{
  size_t sources = count_sources(queue) + (count == 0 ? 1 : 0);
  size_t ahead = (count + 1) * sources - 1;
  if (ahead > queue->waiting)
    ahead = queue->waiting;
  return ahead * queue->hash_us / queue->slots <= UINT64_C(1000) * find_patience_ms(queue, count, now_us);
}

bool hash_queue_has_room(const struct hash_queue *queue, struct slice source_name, uint64_t now_us)
{
  if (queue->free_slots > 0)
    return true;
  const struct source *source = find_source(queue, source_name);
  size_t count = source == NULL ? 0 : source->count;
  if (count >= HASH_QUEUE_PER_SOURCE || !comes_in_time(queue, count, now_us))
    return false;
  // A source that has one fewer than the greediest would only change places with it.
  return queue->waiting < HASH_QUEUE_TOTAL || find_greediest(queue)->count > count + 1;
}

enum status hash_queue_acquire(struct hash_queue *queue, struct slice source_name)
{
  if (!hash_queue_has_room(queue, source_name, clock_now_us()))
    return STATUS_RESOURCE_EXHAUSTED;
  if (queue->free_slots > 0) {
    queue->free_slots--;
    return STATUS_OK;
  }
  if (queue->waiting >= HASH_QUEUE_TOTAL)
    drop_newest(queue, find_greediest(queue));
  struct source *source = find_source(queue, source_name);
  if (source == NULL)
    source = add_source(queue, source_name);
  struct waiter waiter = {.granted = {.what = "a turn to hash a password"}};
  add_waiter(queue, source, &waiter);
  return wait_for_grant(queue, &waiter);
}

void hash_queue_release(struct hash_queue *queue, uint64_t hashed_us)
{
  queue->hash_us = queue->hash_us == 0 ? hashed_us : (queue->hash_us * (SMOOTHING - 1) + hashed_us) / SMOOTHING;
  if (list_empty(&queue->turns)) {
    queue->free_slots++;
    return;
  }
  struct source *source = CONTAINER_OF(queue->turns.next, struct source, node);
  // The source goes to the end, so that the others have their turn before it has another.
  list_remove(&source->node);
  list_append(&queue->turns, &source->node);
  struct waiter *waiter = CONTAINER_OF(source->waiters.next, struct waiter, node);
  remove_waiter(queue, waiter);
  completion_finish(&waiter->granted, STATUS_OK);
}
