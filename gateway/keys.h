// The public keys of access tokens, kept fresh: fetched from the auth service when a worker starts, every five minutes,
// and when a token names a key that is not known. Requests that need a fetch wait for its end, a second at most.
//
// A state machine: time is an argument, one thread, one fetch at a time.
#ifndef BULKHEAD_GATEWAY_KEYS_H
#define BULKHEAD_GATEWAY_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/list.h"
#include "common/rpc/rpc.h"
#include "common/security/token.h"
#include "gateway/backend.h"
#include "gateway/gateway_metrics.h"

#define KEYS_REFRESH_EVERY_US (UINT64_C(300) * 1000000)
// Between fetches for unknown keys: forged key ids must not become a load on the auth service.
#define KEYS_UNKNOWN_EVERY_US (UINT64_C(5) * 1000000)
// After a failure: with keys there is no hurry, without them nothing works.
#define KEYS_RETRY_US (UINT64_C(5) * 1000000)
#define KEYS_FIRST_RETRY_US (UINT64_C(300) * 1000)
#define KEYS_FETCH_TIMEOUT_US (UINT64_C(2) * 1000000)
#define KEYS_MAX_WAIT_US (UINT64_C(1000) * 1000)

struct keys {
  struct token_verifier *verifier;
  const struct backend *backend;
  const struct gateway_metrics *metrics;
  uint64_t (*now_us)(void);
  struct rpc_call *fetch;    // NULL when none runs
  uint64_t next_fetch_us;    // the regular one
  uint64_t unknown_from_us;  // when an unknown key may start a fetch again
  bool failing;              // the last fetch failed; logged when it changes
  struct list waiting;       // of struct key_wait, in the order of their deadlines
};

// A request that waits, embedded in it. `wake` comes once, when the fetch has ended or the wait is over.
struct key_wait {
  struct list node;
  uint64_t deadline_us;
  void (*wake)(void *arg);
  void *arg;
};

// `verifier`, `backend` and `metrics` stay the caller's. The first fetch starts with the first keys_process.
void keys_init(struct keys *keys, struct token_verifier *verifier, const struct backend *backend,
               const struct gateway_metrics *metrics, uint64_t (*now_us)(void));
// Drops a running fetch; requests that still wait are not woken.
void keys_stop(struct keys *keys);

bool keys_known(const struct keys *keys);

// A token's key is not known, or none is: starts a fetch where that is due and lines `wait` up. False when waiting
// would not help: a fetch was made just now.
bool keys_wait(struct keys *keys, struct key_wait *wait);
// The request went away; no-op for one that does not wait.
void keys_stop_waiting(struct key_wait *wait);
static inline void key_wait_init(struct key_wait *wait)
{
  list_init(&wait->node);
}

void keys_process(struct keys *keys, uint64_t now_us);
uint64_t keys_next_timeout_us(const struct keys *keys);

#endif
