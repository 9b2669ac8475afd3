// Asks the auth service what has ended, several times a second, and has the verifier refuse the access tokens of it. A
// state machine without a clock of its own: time is an argument. One thread, one call at a time. While the service is
// away, what has ended meanwhile is not known, and its tokens are good until they expire.
#ifndef BULKHEAD_GATEWAY_ENDINGS_PEERS_H
#define BULKHEAD_GATEWAY_ENDINGS_PEERS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/observe/log_outage.h"
#include "common/rpc/backend.h"
#include "common/security/token.h"

// How often it asks, and how soon again after a failure.
#define ENDINGS_EVERY_US (UINT64_C(200) * 1000)
#define ENDINGS_TIMEOUT_US (UINT64_C(1000) * 1000)
// The instances of the service whose lists it goes on with; of others it reads the whole list.
#define ENDINGS_MAX_INSTANCES 16

struct endings_options {
  const struct backend *backend;
  struct token_verifier *verifier;
  uint64_t (*now_us)(void);
  int64_t (*wall_us)(void);
};

struct endings_position {
  char instance[65];
  uint64_t sequence;
};

struct endings {
  struct endings_options options;
  struct rpc_call *call;  // in flight; NULL when there is none
  uint64_t next_us;
  struct log_outage outage;  // of calls
  struct endings_position positions[ENDINGS_MAX_INSTANCES];
  size_t position_count;
  size_t next_position;  // which one a further instance replaces
};

// Prepares it. What `options` points to stays the caller's. The first endings_process asks.
void endings_init(struct endings *endings, const struct endings_options *options);
// Cancels the call in flight. Accepts one that was not prepared.
void endings_stop(struct endings *endings);
void endings_process(struct endings *endings, uint64_t now_us);
uint64_t endings_next_timeout_us(const struct endings *endings);

#endif
