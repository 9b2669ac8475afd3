// Keeps the public keys of access tokens fresh: they are fetched from the service that issues the tokens at the start,
// twice a second, and when a token names an unknown key. A token is refused for its unknown key only by a fetch that
// has begun after the token came; the request waits for it, one second at most. A state machine without a clock of its
// own: time is an argument. One thread, one fetch at a time.
//
// The short interval is what ends the tokens of a compromised key (`auth rotate-keys --now`). A fetch that brings what
// is known already costs a comparison of its bytes.
#ifndef BULKHEAD_IDENTITY_KEYS_H
#define BULKHEAD_IDENTITY_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include "common/base/list.h"
#include "common/base/strbuf.h"
#include "common/observe/log_outage.h"
#include "common/rpc/backend.h"
#include "common/security/token.h"

#define KEYS_REFRESH_EVERY_US (UINT64_C(500) * 1000)
// The least time between the beginnings of two fetches for unknown keys: forged key ids must not become a load on the
// auth service.
#define KEYS_UNKNOWN_EVERY_US (UINT64_C(250) * 1000)
// The time to the next fetch after a failure: longer while there are keys, short while there are none, because then no
// token can be verified.
#define KEYS_RETRY_US (UINT64_C(1000) * 1000)
#define KEYS_FIRST_RETRY_US (UINT64_C(300) * 1000)
#define KEYS_FETCH_TIMEOUT_US (UINT64_C(2) * 1000000)
#define KEYS_MAX_WAIT_US (UINT64_C(1000) * 1000)

struct metric_series;

// Where the keys come from: a method whose reply is a JWK set as a message (auth.v1.JsonWebKeySet): a list `keys` of
// messages with the texts kty, crv, kid, x and y.
struct keys_source {
  const char *service;
  struct slice method;
  const ProtobufCMessageDescriptor *reply;
};

struct keys_options {
  struct keys_source source;
  struct token_verifier *verifier;  // gets the keys
  const struct backend *backend;
  struct metric_series *ok, *failed;  // count fetches
  uint64_t (*now_us)(void);
};

struct keys {
  struct keys_options options;
  struct rpc_call *fetch;    // the fetch in flight; NULL when there is none
  uint64_t begun_us;         // when the last fetch began
  uint64_t known_since_us;   // when the fetch began that brought what is known now
  uint64_t next_fetch_us;    // time of the next fetch
  struct strbuf known;       // the key set that the verifier has, as it came
  struct log_outage outage;  // of fetches
  struct list waiting;       // waiting requests (struct key_wait), ordered by the time of their arrival
};

// A waiting request's place in the list, embedded in the request. `wake` is called once: when a fetch that began after
// the request's arrival has ended, when the first keys have come, or when the wait has timed out.
struct key_wait {
  struct list node;
  uint64_t since_us;  // its arrival
  void (*wake)(void *arg);
  void *arg;
};

// Prepares the keys. What `options` points to stays the caller's and must outlive them. The first keys_process starts
// the first fetch.
void keys_init(struct keys *keys, const struct keys_options *options);
// Cancels a fetch in flight, and frees what is held; waiting requests are not woken.
void keys_stop(struct keys *keys);

bool keys_known(const struct keys *keys);

// Waits for a key that is unknown: adds `wait` to the list, and starts a fetch where one may begin now.
void keys_wait(struct keys *keys, struct key_wait *wait);
// Tells whether the keys were fetched after this request had begun to wait, so that a key which is unknown now is none.
// Otherwise it may be a good one.
bool keys_fetched_since(const struct keys *keys, const struct key_wait *wait);
// Removes a waiting request from the list; does nothing for one that does not wait.
void keys_stop_waiting(struct key_wait *wait);
static inline void key_wait_init(struct key_wait *wait)
{
  list_init(&wait->node);
}

void keys_process(struct keys *keys, uint64_t now_us);
uint64_t keys_next_timeout_us(const struct keys *keys);

#endif
