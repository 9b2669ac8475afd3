// The events of a simulation, such as the ends of the calls in flight, ordered by their time.
#ifndef BULKHEAD_TESTS_UNIT_RPC_EVENT_QUEUE_H
#define BULKHEAD_TESTS_UNIT_RPC_EVENT_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// A call in flight, or something else that happens to one later.
struct event {
  uint64_t end_us;
  uint64_t sent_us;
  unsigned client;
  unsigned instance;
  bool failed;
  // For the simulation that knows more events than the ends of calls:
  uint8_t kind;
  uint8_t attempt;
  uint32_t call;
};

// A heap by end_us; begins as zeros.
struct event_queue {
  struct event *events;
  size_t count;
  size_t capacity;
};

void event_queue_push(struct event_queue *queue, struct event event);
// Takes the event that ends first, if it has ended by `now_us`. False where none has.
bool event_queue_pop(struct event_queue *queue, uint64_t now_us, struct event *out);
void event_queue_free(struct event_queue *queue);

#endif
