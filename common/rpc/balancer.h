// Which endpoint takes the next call. The one place to change when latencies are to be weighed too.
#ifndef BULKHEAD_RPC_BALANCER_H
#define BULKHEAD_RPC_BALANCER_H

#include <stdbool.h>
#include <stddef.h>

// What the choice looks at; embedded in the endpoint.
struct balancer_candidate {
  bool ready;  // connected, not draining, still listed
  size_t calls_in_flight;
};

// A zeroed balancer is a ready one.
struct balancer {
  size_t next;  // where the search begins: ties go round
};

// The ready candidate with the fewest calls in flight; NULL when none is ready.
struct balancer_candidate *balancer_pick(struct balancer *balancer, struct balancer_candidate *const *candidates,
                                         size_t count);

#endif
