#include "common/discovery/consul_recall_internal.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"

// Much longer than an instance that reaches Consul needs to register again.
#define RECALL_MS 120000

static bool has_id(const struct endpoint_list *list, const char *id)
{
  for (size_t i = 0; i < list->count; i++)
    if (strcmp(list->endpoints[i].id, id) == 0)
      return true;
  return false;
}

// Adds the endpoints of `known` that an answer does not name. A full list has no place for more.
static void add_unnamed(struct endpoint_list *list, const struct endpoint_list *known,
                        const struct consul_answer *answer)
{
  for (size_t i = 0; i < known->count; i++) {
    const struct discovery_endpoint *endpoint = &known->endpoints[i];
    if (!has_id(&answer->passing, endpoint->id) && !has_id(&answer->failing, endpoint->id))
      (void)endpoint_list_add_copy(list, endpoint);
  }
  endpoint_list_sort(list);
}

// Returns whether the answer shows that Consul may have lost its memory since the one before.
static bool may_have_forgotten(const struct consul_recall *recall, const struct consul_answer *answer)
{
  bool is_empty = answer->passing.count == 0 && answer->failing.count == 0;
  return answer->is_after_outage || answer->index < recall->index || (is_empty && !recall->was_empty);
}

static void replace_list(struct endpoint_list *list, const struct endpoint_list *with)
{
  endpoint_list_free(list);
  *list = endpoint_list_copy(with);
}

// Begins to recall where Consul may have lost its memory, and ends it in time.
static void update_period(struct consul_recall *recall, const struct consul_answer *answer, uint64_t now_us)
{
  if (recall->until_us != 0 && now_us >= recall->until_us) {
    recall->until_us = 0;
    replace_list(&recall->known, &recall->named);
  }
  if (recall->until_us == 0 && recall->known.count != 0 && may_have_forgotten(recall, answer))
    recall->until_us = deadline_after_ms(now_us, RECALL_MS);
}

bool consul_recall_complete(struct consul_recall *recall, const struct consul_answer *answer, uint64_t now_us,
                            struct endpoint_list *out)
{
  update_period(recall, answer, now_us);
  recall->index = answer->index;
  recall->was_empty = answer->passing.count == 0 && answer->failing.count == 0;
  *out = endpoint_list_copy(answer->passing.count != 0 ? &answer->passing : &answer->failing);
  replace_list(&recall->named, out);
  bool recalls = recall->until_us != 0;
  if (recalls)
    add_unnamed(out, &recall->known, answer);
  replace_list(&recall->known, out);
  return recalls;
}

uint32_t consul_recall_left_ms(const struct consul_recall *recall, uint64_t now_us)
{
  return recall->until_us <= now_us ? 0 : deadline_left_ms(recall->until_us, now_us);
}

void consul_recall_free(struct consul_recall *recall)
{
  endpoint_list_free(&recall->known);
  endpoint_list_free(&recall->named);
}
