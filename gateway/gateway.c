#include "gateway/gateway.h"

#include <stdlib.h>
#include <string.h>

#include "auth/v1/auth.pb-c.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "gateway/exchange.h"

struct gateway *gateway_create(const struct gateway_options *options)
{
  struct gateway *gateway = calloc(1, sizeof(*gateway));
  CHECK(gateway != NULL);
  gateway->api = options->api;
  gateway->backend = options->backend;
  gateway->expensive_backend = options->expensive_backend.call == NULL ? options->backend : options->expensive_backend;
  gateway->own = own_services_create(
      &(struct own_services_options){.api = options->api, .is_ready = options->is_ready, .arg = options->ready_arg});
  gateway->own_backend = own_services_backend(gateway->own);
  gateway->clock = options->clock != NULL ? *options->clock
                                          : (struct gateway_clock){.now_us = clock_now_us, .wall_us = clock_wall_us};
  gateway->verifier =
      token_verifier_create(&(struct token_verifier_options){.issuer = options->issuer, .audience = options->audience});
  struct limits_options limits = {
      .backend = &gateway->backend, .metrics = &options->api->metrics, .now_us = gateway->clock.now_us};
  memcpy(limits.limits, options->limits, sizeof(limits.limits));
  gateway->limits = limits_create(&limits);
  list_init(&gateway->excess);
  list_init(&gateway->streams);
  gateway->admission = admission_create(options->api->contract, &options->api->metrics);
  keys_init(&gateway->keys, &(struct keys_options){.source = {.service = KEYS_SERVICE,
                                                              .method = SLICE(KEYS_METHOD),
                                                              .reply = &auth__v1__json_web_key_set__descriptor},
                                                   .verifier = gateway->verifier,
                                                   .backend = &gateway->backend,
                                                   .ok = options->api->metrics.keys_ok,
                                                   .failed = options->api->metrics.keys_failed,
                                                   .now_us = gateway->clock.now_us});
  api_keys_init(&gateway->api_keys, &(struct api_keys_options){.backend = &gateway->backend,
                                                               .verifier = gateway->verifier,
                                                               .metrics = &options->api->metrics,
                                                               .now_us = gateway->clock.now_us});
  gateway->follows_endings = options->follows_endings;
  endings_init(&gateway->endings, &(struct endings_options){.backend = &gateway->backend,
                                                            .verifier = gateway->verifier,
                                                            .now_us = gateway->clock.now_us,
                                                            .wall_us = gateway->clock.wall_us});
  return gateway;
}

void gateway_stop(struct gateway *gateway)
{
  gateway->stopped = true;
  keys_stop(&gateway->keys);
  endings_stop(&gateway->endings);
  api_keys_stop(&gateway->api_keys);
}

void gateway_free(struct gateway **gateway)
{
  struct gateway *gone = *gateway;
  *gateway = NULL;
  if (gone == NULL)
    return;
  CHECK(gone->in_flight == 0);
  gateway_stop(gone);
  exchange_free_spares(gone);
  heap_free(&gone->waits);
  api_keys_free(&gone->api_keys);
  token_verifier_free(&gone->verifier);
  own_services_free(&gone->own);
  limits_free(&gone->limits);
  admission_free(&gone->admission);
  free(gone);
}

void gateway_process(struct gateway *gateway, uint64_t now_us)
{
  keys_process(&gateway->keys, now_us);
  if (gateway->follows_endings)
    endings_process(&gateway->endings, now_us);
  exchange_expire_waits(gateway, now_us);
  exchange_check_streams(gateway, now_us);
  exchange_give_up_excess(gateway);
  own_services_process(gateway->own, now_us);
}

uint64_t gateway_next_timeout_us(const struct gateway *gateway)
{
  if (!list_empty(&gateway->excess))
    return 0;
  const struct heap_node *first = heap_first(&gateway->waits);
  uint64_t endings_us = gateway->follows_endings ? endings_next_timeout_us(&gateway->endings) : DEADLINE_NONE;
  uint64_t check_us = list_empty(&gateway->streams) ? DEADLINE_NONE : gateway->next_check_us;
  uint64_t own_us = deadline_min(check_us, own_services_next_timeout_us(gateway->own));
  return deadline_min(deadline_min(keys_next_timeout_us(&gateway->keys), endings_us),
                      deadline_min(first == NULL ? DEADLINE_NONE : first->key, own_us));
}

bool gateway_is_crowded(const struct gateway *gateway)
{
  return admission_is_crowded(gateway->admission, gateway->clock.now_us());
}

void gateway_waiting(struct gateway *gateway, bool waits)
{
  gateway->in_flight += waits ? 1 : (size_t)-1;
  metric_set(gateway->api->metrics.in_flight, (int64_t)gateway->in_flight);
}
