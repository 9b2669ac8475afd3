#include "common/discovery/consul_recall_internal.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"

// Longer than an instance may take to look for its registration: the pause between two looks, and the longest back-off
// after Consul was away.
#define RECALL_MS 20000

static bool has_id(const struct endpoint_list *list, const char *id)
{
  for (size_t i = 0; i < list->count; i++)
    if (strcmp(list->endpoints[i].id, id) == 0)
      return true;
  return false;
}

static void add_missing(struct endpoint_list *list, const struct endpoint_list *known)
{
  for (size_t i = 0; i < known->count; i++) {
    const struct discovery_endpoint *endpoint = &known->endpoints[i];
    // A full list has no place for more.
    if (!has_id(list, endpoint->id))
      (void)endpoint_list_add(list, slice_from_string(endpoint->id), slice_from_string(endpoint->url));
  }
  endpoint_list_sort(list);
}

bool consul_recall_complete(struct consul_recall *recall, uint64_t index, uint64_t now_us, struct endpoint_list *list)
{
  if (index < recall->index)
    recall->until_us = deadline_after_ms(now_us, RECALL_MS);
  recall->index = index;
  bool recalls = now_us < recall->until_us;
  if (recalls)
    add_missing(list, &recall->known);
  endpoint_list_free(&recall->known);
  recall->known = endpoint_list_copy(list);
  return recalls;
}

void consul_recall_free(struct consul_recall *recall)
{
  endpoint_list_free(&recall->known);
}
