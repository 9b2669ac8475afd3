// Which endpoint takes the next call. The one place to change when latencies are to be weighed too.
#ifndef BULKHEAD_RPC_BALANCER_INTERNAL_H
#define BULKHEAD_RPC_BALANCER_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

// So many calls of one turn go to the same endpoint: they leave as one packet, and a packet costs both sides far more
// than a call in it does.
#define BALANCER_TOGETHER 32

// What the choice looks at; embedded in the endpoint.
struct balancer_candidate {
  bool ready;  // connected, not draining, still listed
  size_t calls_in_flight;
};

// A zeroed balancer is a ready one.
struct balancer {
  size_t next;  // where the search begins: ties go round
  struct balancer_candidate *chosen;
  size_t together;  // calls that may still follow to the one that was chosen
};

// The one chosen for the calls before it in the same turn, or else the ready candidate with the fewest calls in flight;
// NULL when none is ready.
struct balancer_candidate *balancer_pick(struct balancer *balancer, struct balancer_candidate *const *candidates,
                                         size_t count);
// The next pick chooses anew: a turn has ended, the candidates are others, or the chosen one is full.
void balancer_choose_anew(struct balancer *balancer);

#endif
