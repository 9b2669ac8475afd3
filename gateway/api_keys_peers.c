#include "gateway/api_keys_peers.h"

#include <stdlib.h>
#include <string.h>

#include "auth/v1/api_keys.pb-c.h"
#include "common/base/check.h"
#include "common/base/compiler.h"
#include "common/security/api_key.h"
#include "common/security/key.h"

void api_keys_init(struct api_keys *keys, const struct api_keys_options *options)
{
  *keys = (struct api_keys){
      .options = *options,
      .outage = {.subject = "keys",
                 .failure =
                     "could not exchange an API key at the auth service; requests with keys that this worker does "
                     "not know get 503, known ones are taken until their token expires",
                 .recovery = "the auth service exchanges API keys again"},
      .clock = {.subject = "keys",
                .failure =
                    "the clock of this host is minutes off that of the auth service's database: access tokens get 401 "
                    "here, and API keys 503; set the clock, and see why nothing keeps it right",
                .recovery = "the clock of this host agrees with that of the auth service's database again"}};
  api_key_cache_init(&keys->cache, API_KEYS_MAX);
}

void api_keys_stop(struct api_keys *keys)
{
  if (keys->call_count == 0)
    return;
  const struct backend *backend = keys->options.backend;
  for (struct list *node = keys->cache.order.next; node != &keys->cache.order; node = node->next) {
    struct api_key_entry *entry = CONTAINER_OF(node, struct api_key_entry, order);
    if (entry->call != NULL)
      (void)backend->cancel(backend->arg, entry->call);
    entry->call = NULL;
  }
  keys->call_count = 0;
}

void api_keys_free(struct api_keys *keys)
{
  api_keys_stop(keys);
  api_key_cache_free(&keys->cache);
}

void api_keys_note_clock(struct api_keys *keys, bool is_off)
{
  log_outage_note(&keys->clock, is_off, NULL, 0);
}

static void wake_all(struct list *waiting)
{
  // Only requests that wait now are woken, because a woken request may wait again.
  struct list woken;
  list_init(&woken);
  list_move_all(waiting, &woken);
  while (!list_empty(&woken)) {
    struct api_key_wait *wait = CONTAINER_OF(woken.next, struct api_key_wait, node);
    list_remove(&wait->node);
    wait->wake(wait->arg);
  }
}

static bool keep_token(struct api_keys *keys, struct api_key_entry *entry, struct slice payload)
{
  Auth__V1__ExchangeApiKeyResponse *reply =
      auth__v1__exchange_api_key_response__unpack(NULL, payload.size, (const uint8_t *)payload.data);
  if (reply == NULL)
    return false;
  struct slice token = slice_from_string(reply->access_token);
  bool ok = token.size > 0 && token.size <= TOKEN_MAX_BYTES;
  if (ok && entry->token.size > 0)
    token_verifier_forget(keys->options.verifier, entry->token);
  if (ok)
    api_key_cache_set_token(entry, token);
  auth__v1__exchange_api_key_response__free_unpacked(reply, NULL);
  return ok;
}

static void on_exchanged(void *arg, const struct rpc_status *status, struct slice payload)
{
  struct api_key_entry *entry = arg;
  struct api_keys *keys = entry->owner;
  uint64_t now_us = keys->options.now_us();
  entry->call = NULL;
  entry->is_pinned = false;
  keys->call_count--;
  // The waiting requests leave the entry, which may be removed.
  struct list waiting;
  list_init(&waiting);
  list_move_all(&entry->waiting, &waiting);
  bool is_refused = status->code == STATUS_NOT_FOUND && slice_equal_string(status->reason, API_KEYS_UNKNOWN_REASON);
  bool ok = status->code == STATUS_OK && keep_token(keys, entry, payload);
  const struct gateway_metrics *metrics = keys->options.metrics;
  metric_add(ok ? metrics->api_keys_ok : is_refused ? metrics->api_keys_refused : metrics->api_keys_failed, 1);
  entry->renew_us = now_us + (ok ? API_KEYS_RENEW_US : API_KEYS_RETRY_US);
  // The key of a suspended account may be good again soon, which the auth service tells by a shorter time.
  uint64_t refused_us = status->retry_after_ms > 0 ? status->retry_after_ms * UINT64_C(1000) : API_KEY_CACHE_REFUSED_US;
  if (is_refused)
    api_key_cache_refuse(&keys->cache, entry->hash, now_us + refused_us);
  if (is_refused || entry->token.size == 0)
    api_key_cache_remove(&keys->cache, entry);
  const struct log_field why[] = {LOG_STATUS(status->code), LOG_SLICE("reason", status->message)};
  log_outage_note(&keys->outage, !ok && !is_refused, why, ok || is_refused ? 0 : ARRAY_LEN(why));
  wake_all(&waiting);
}

// Begins an exchange for an entry that has none in flight.
static void start(struct api_keys *keys, struct api_key_entry *entry, const struct api_key_use *use)
{
  char text[API_KEY_SIZE];
  CHECK(use->text.size == API_KEY_BYTES);
  memcpy(text, use->text.data, API_KEY_BYTES);
  text[API_KEY_BYTES] = '\0';
  Auth__V1__ExchangeApiKeyRequest request = AUTH__V1__EXCHANGE_API_KEY_REQUEST__INIT;
  request.key = text;
  uint8_t payload[API_KEY_SIZE + 16];
  CHECK(auth__v1__exchange_api_key_request__get_packed_size(&request) <= sizeof(payload));
  const struct rpc_call_options options = {
      .service = "auth",
      .method = SLICE("auth.v1.ApiKeyService/ExchangeApiKey"),
      .payload = slice_make(payload, auth__v1__exchange_api_key_request__pack(&request, payload)),
      .deadline_us = keys->options.now_us() + API_KEYS_TIMEOUT_US,
      .context = use->context,
      .is_repeatable = true,
  };
  entry->owner = keys;
  entry->is_pinned = true;
  keys->call_count++;
  entry->call = keys->options.backend->call(keys->options.backend->arg, &options, on_exchanged, entry);
  key_erase(payload, sizeof(payload));
  key_erase(text, sizeof(text));
}

enum api_key_state api_keys_find(struct api_keys *keys, const struct api_key_use *use, struct slice *token)
{
  uint64_t now_us = keys->options.now_us();
  struct api_key_entry *entry = api_key_cache_find(&keys->cache, use->hash, now_us);
  if (entry == NULL || entry->token.size == 0)
    return api_key_cache_is_refused(&keys->cache, use->hash, now_us) ? API_KEY_REFUSED : API_KEY_UNKNOWN;
  if (now_us >= entry->renew_us && entry->call == NULL && keys->call_count < API_KEYS_MAX_CALLS)
    start(keys, entry, use);
  *token = entry->token;
  return API_KEY_KNOWN;
}

bool api_keys_exchange(struct api_keys *keys, const struct api_key_use *use, struct api_key_wait *wait)
{
  uint64_t now_us = keys->options.now_us();
  struct api_key_entry *entry = api_key_cache_find(&keys->cache, use->hash, now_us);
  bool is_under_way = entry != NULL && entry->call != NULL;
  if (!is_under_way && keys->call_count >= API_KEYS_MAX_CALLS)
    return false;
  if (entry == NULL)
    entry = api_key_cache_add(&keys->cache, use->hash, now_us);
  if (entry == NULL)
    return false;
  api_key_cache_drop_token(entry);
  list_append(&entry->waiting, &wait->node);
  if (!is_under_way)
    start(keys, entry, use);
  return true;
}
