// Least calls in flight, ties broken round robin by starting each search behind the last choice.
#include "common/rpc/balancer_internal.h"

static struct balancer_candidate *choose(struct balancer *balancer, struct balancer_candidate *const *candidates,
                                         size_t count)
{
  struct balancer_candidate *best = NULL;
  size_t best_index = 0;
  for (size_t i = 0; i < count; i++) {
    size_t index = (balancer->next + i) % count;
    struct balancer_candidate *candidate = candidates[index];
    if (!candidate->ready || (best != NULL && candidate->calls_in_flight >= best->calls_in_flight))
      continue;
    best = candidate;
    best_index = index;
  }
  if (best != NULL)
    balancer->next = best_index + 1;
  return best;
}

struct balancer_candidate *balancer_pick(struct balancer *balancer, struct balancer_candidate *const *candidates,
                                         size_t count)
{
  if (balancer->together == 0 || !balancer->chosen->ready) {
    balancer->chosen = choose(balancer, candidates, count);
    balancer->together = balancer->chosen == NULL ? 0 : BALANCER_TOGETHER;
  }
  if (balancer->together != 0)
    balancer->together--;
  return balancer->chosen;
}

void balancer_choose_anew(struct balancer *balancer)
{
  balancer->chosen = NULL;
  balancer->together = 0;
}
