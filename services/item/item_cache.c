#include "services/item/item_cache.h"

#include <string.h>

#include "common/base/uuid.h"
#include "common/service/call.h"
#include "common/service/service.h"
#include "item/v1/item.bh.h"
#include "services/item/item_state.h"

// Instances of all releases share it, and so hear of each other's changes.
#define ITEM_CACHE_NAME "item.v1.1"
// Raise it when item.v1.Item changes in a way that readers of the release before misread.
#define ITEM_CACHE_FORMAT 0

static uint32_t contract_ttl_ms(void)
{
  for (size_t i = 0; i < item_v1_item_service.method_count; i++) {
    const struct rpc_method *method = &item_v1_item_service.methods[i];
    if (strcmp(method->full_name, "item.v1.ItemService/GetItem") == 0)
      return method->cache_ttl_ms;
  }
  return 0;
}

struct cache *item_cache_create(struct service *service, size_t max_bytes)
{
  uint32_t ttl_ms = contract_ttl_ms();
  if (max_bytes == 0 || ttl_ms == 0)
    return NULL;
  return service_cache_create(
      service, &(struct cache_options){
                   .name = ITEM_CACHE_NAME, .format = ITEM_CACHE_FORMAT, .max_bytes = max_bytes, .ttl_ms = ttl_ms});
}

// A UUID is the same in either case (RFC 9562, section 4), and PostgreSQL takes both: one entry for an item, or a
// change would be seen under one way to write its id and not under the other.
static struct slice key_of(const char *id, char *key)
{
  size_t size = 0;
  for (; size < UUID_TEXT_SIZE - 1 && id[size] != '\0'; size++)
    key[size] = (char)(id[size] >= 'A' && id[size] <= 'F' ? id[size] | 0x20 : id[size]);
  key[size] = '\0';
  return slice_make(key, size);
}

struct cache *item_cache_of(struct call *call, const char *id, struct slice *key)
{
  struct item_state *state = call_state(call);
  *key = key_of(id, arena_alloc(call_arena(call), UUID_TEXT_SIZE));
  return state->cache;
}
