// What a call of a method costs an instance: the shortest time in which one was answered lately. Queues make replies
// late, but never early, so that the shortest time is near that of the work alone.
#ifndef BULKHEAD_RPC_METHOD_COST_INTERNAL_H
#define BULKHEAD_RPC_METHOD_COST_INTERNAL_H

#include <stdint.h>

// "Lately" is within one to two windows.
#define METHOD_COST_WINDOW_US UINT64_C(10000000)
// The cost of a method that has not been answered yet.
#define METHOD_COST_UNKNOWN_US 1000

// A zeroed one is that of a method without replies.
struct method_cost {
  uint32_t least_us;         // in this window; 0 without a reply
  uint32_t least_before_us;  // in the window before
  uint64_t window_begin_us;
};

// Notes the time that a successful call has taken.
void method_cost_note(struct method_cost *cost, uint64_t duration_us, uint64_t now_us);
// Returns the cost in microseconds, at least 1.
uint32_t method_cost_us(const struct method_cost *cost);

#endif
