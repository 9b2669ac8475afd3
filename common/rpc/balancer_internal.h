// Chooses the endpoint of the next call: the ready one with the fewest calls in flight, ties in turns. The calls of one
// turn go to the same endpoint in batches, because they then leave as one packet.
#ifndef BULKHEAD_RPC_BALANCER_INTERNAL_H
#define BULKHEAD_RPC_BALANCER_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

// The most calls of one turn that go to the same endpoint. They leave as one packet, and a packet costs both sides far
// more than one more call in it.
#define BALANCER_BATCH 32

// What the choice of an endpoint depends on; embedded in the endpoint.
struct balancer_candidate {
  bool ready;   // connected and taking calls
  bool silent;  // does not answer at the moment: chosen only when all ready ones are silent
  size_t calls_in_flight;
};

// A zeroed balancer is ready to use.
struct balancer {
  size_t next;  // index at which the next search begins, so that ties take turns
  struct balancer_candidate *chosen;
  size_t batch_left;  // calls that may still go to `chosen`
};

// Picks the endpoint of the next call: the current batch's if it is still ready, else the ready candidate with the
// fewest calls in flight, of those that are not silent if there are any. NULL when none is ready.
struct balancer_candidate *balancer_pick(struct balancer *balancer, struct balancer_candidate *const *candidates,
                                         size_t count);
// Ends the current batch: the turn is over, the candidates have changed, or the chosen one is full.
void balancer_end_batch(struct balancer *balancer);

#endif
