#include "common/rpc/balancer_internal.h"

static bool is_better(const struct balancer_candidate *candidate, const struct balancer_candidate *best)
{
  if (candidate->silent != best->silent)
    return best->silent;
  return candidate->calls_in_flight < best->calls_in_flight;
}

static struct balancer_candidate *choose_candidate(struct balancer *balancer,
                                                   struct balancer_candidate *const *candidates, size_t count)
{
  struct balancer_candidate *best = NULL;
  size_t best_index = 0;
  for (size_t i = 0; i < count; i++) {
    size_t index = (balancer->next + i) % count;
    struct balancer_candidate *candidate = candidates[index];
    if (!candidate->ready || (best != NULL && !is_better(candidate, best)))
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
  if (balancer->batch_left == 0 || !balancer->chosen->ready) {
    balancer->chosen = choose_candidate(balancer, candidates, count);
    balancer->batch_left = balancer->chosen == NULL ? 0 : BALANCER_BATCH;
  }
  if (balancer->batch_left != 0)
    balancer->batch_left--;
  return balancer->chosen;
}

void balancer_end_batch(struct balancer *balancer)
{
  balancer->chosen = NULL;
  balancer->batch_left = 0;
}
