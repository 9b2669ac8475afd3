// Exchanges API keys for access tokens at the auth service, which alone knows keys, and keeps the tokens
// (api_key_cache.h). A token of a key is verified like every other one, so what ends ends it, too: the key's id is its
// session. Services get the token, and know nothing of keys.
//
// All requests with a key that is new wait for one exchange. A token is renewed while it is used, once a minute, by an
// exchange that no request waits for: so known keys go on for the life of a token while the auth service is away, and
// it learns when a key was used last. A state machine without a clock of its own. One thread.
#ifndef BULKHEAD_GATEWAY_API_KEYS_PEERS_H
#define BULKHEAD_GATEWAY_API_KEYS_PEERS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/observe/log_outage.h"
#include "common/rpc/backend.h"
#include "common/security/token.h"
#include "gateway/api_key_cache.h"
#include "gateway/gateway_metrics.h"

// The reason of the auth service's NOT_FOUND.
#define API_KEYS_UNKNOWN_REASON "API_KEY_UNKNOWN"
// The keys that a worker holds tokens of.
#define API_KEYS_MAX 16384
// The exchanges that a worker has in flight at most.
#define API_KEYS_MAX_CALLS 256
#define API_KEYS_TIMEOUT_US (UINT64_C(1500) * 1000)
// How old a token of a key is when its next use renews it, and how soon a renewal that has failed is tried again.
#define API_KEYS_RENEW_US (UINT64_C(60) * 1000000)
#define API_KEYS_RETRY_US (UINT64_C(5) * 1000000)

struct api_keys_options {
  const struct backend *backend;
  struct token_verifier *verifier;
  const struct gateway_metrics *metrics;
  uint64_t (*now_us)(void);
};

struct api_keys {
  struct api_keys_options options;
  struct api_key_cache cache;
  size_t call_count;
  struct log_outage outage;  // of exchanges
  struct log_outage clock;   // the last token that was exchanged is not of this time
};

// A waiting request's place, embedded in the request. `wake` is called once.
struct api_key_wait {
  struct list node;
  void (*wake)(void *arg);
  void *arg;
};
static inline void api_key_wait_init(struct api_key_wait *wait)
{
  list_init(&wait->node);
}
// Ends a wait; does nothing for one that does not wait. The exchange goes on, because others may wait for it.
static inline void api_key_wait_stop(struct api_key_wait *wait)
{
  list_remove(&wait->node);
}

// Prepares it. What `options` points to stays the caller's.
void api_keys_init(struct api_keys *keys, const struct api_keys_options *options);
// Cancels the exchanges in flight; waiting requests are not woken.
void api_keys_stop(struct api_keys *keys);
void api_keys_free(struct api_keys *keys);

// A key that a request carries, and the request's context for the exchange. `text` is well formed (api_key.h).
struct api_key_use {
  struct slice text;
  unsigned char hash[API_KEY_CACHE_HASH_BYTES];
  const struct rpc_context *context;
};

enum api_key_state {
  API_KEY_KNOWN,  // there is a token, which may have ended
  API_KEY_REFUSED,
  API_KEY_UNKNOWN,
};
// Looks for the token of a key, and renews an old one without waiting for it. `token` is valid until the next call.
enum api_key_state api_keys_find(struct api_keys *keys, const struct api_key_use *use, struct slice *token);
// Exchanges a key for a request that has no good token of it: `wait` is woken when there is an answer, whatever it is.
// A token that is kept goes. False where there is no room for another exchange.
bool api_keys_exchange(struct api_keys *keys, const struct api_key_use *use, struct api_key_wait *wait) MUST_CHECK;
// Notes whether a token that was signed just now, by the database's clock, is of another time by this host's.
void api_keys_note_clock(struct api_keys *keys, bool is_off);

#endif
