#include "tests/unit/rpc/event_queue.h"

#include <criterion/criterion.h>
#include <stdlib.h>

void event_queue_push(struct event_queue *queue, struct event event)
{
  if (queue->count == queue->capacity) {
    queue->capacity = queue->capacity == 0 ? 1024 : 2 * queue->capacity;
    queue->events = realloc(queue->events, queue->capacity * sizeof(event));
    cr_assert_not_null(queue->events);
  }
  size_t i = queue->count++;
  for (; i > 0 && queue->events[(i - 1) / 2].end_us > event.end_us; i = (i - 1) / 2)
    queue->events[i] = queue->events[(i - 1) / 2];
  queue->events[i] = event;
}

static void remove_first(struct event_queue *queue)
{
  struct event *events = queue->events;
  struct event last = events[--queue->count];
  size_t i = 0;
  for (size_t child = 1; child < queue->count; child = 2 * i + 1) {
    if (child + 1 < queue->count && events[child + 1].end_us < events[child].end_us)
      child++;
    if (events[child].end_us >= last.end_us)
      break;
    events[i] = events[child];
    i = child;
  }
  events[i] = last;
}

bool event_queue_pop(struct event_queue *queue, uint64_t now_us, struct event *out)
{
  if (queue->count == 0 || queue->events[0].end_us > now_us)
    return false;
  *out = queue->events[0];
  remove_first(queue);
  return true;
}

void event_queue_free(struct event_queue *queue)
{
  free(queue->events);
  *queue = (struct event_queue){0};
}
