#include "services/item/item_state.h"

#include <stdlib.h>

#include "common/base/check.h"
#include "common/service/call.h"
#include "common/service/service.h"
#include "services/item/item_cache.h"
#include "services/item/item_hub.h"
#include "services/item/item_sweep.h"
#include "services/item/settings.h"

enum status item_start(struct service *service, void **state_out, struct error *error)
{
  (void)error;
  const struct item_settings *settings = service_settings(service);
  struct item_state *state = calloc(1, sizeof(*state));
  CHECK(state != NULL);
  state->cache = item_cache_create(service, (size_t)settings->cache_bytes);
  state->hub = item_hub_create(service);
  item_sweep_start(service);
  *state_out = state;
  return STATUS_OK;
}

void item_stop(struct service *service, void *state_opaque)
{
  struct item_state *state = state_opaque;
  if (state == NULL)
    return;
  item_hub_free(&state->hub);
  service_cache_free(service, &state->cache);
  free(state);
}

void item_tell_now(struct call *call)
{
  const struct item_state *state = call_state(call);
  item_hub_note(state->hub);
}

void item_tell_when_done(struct call *call)
{
  call_when_done(call, item_tell_now);
}
