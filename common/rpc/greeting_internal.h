// What a connection goes through before it carries packets: with TLS the handshake, and then SP's greeting. All of it
// happens on nng's threads, within RPC_GREETING_TIMEOUT_MS.
#ifndef BULKHEAD_RPC_GREETING_INTERNAL_H
#define BULKHEAD_RPC_GREETING_INTERNAL_H

#include <nng/nng.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/list.h"
#include "common/base/status.h"
#include "common/observe/log_limit.h"

struct tls_session;

// SP's numbers of the two protocols.
#define SP_PROTOCOL_REQ 0x30
#define SP_PROTOCOL_REP 0x31

// The time that a dial may take, and then the handshake and the greeting together. The same as nng's own.
#define RPC_GREETING_TIMEOUT_MS 10000

// Receives a connection that has been greeted, and owns the stream and the session, which is NULL without TLS. When it
// has failed, both are NULL and `error` says why. Runs on one of nng's threads.
typedef void greeting_end_fn(void *arg, nng_stream *stream, struct tls_session *tls, const struct error *error);

// The greetings of one link.
struct greetings {
  uint8_t protocol;  // ours
  greeting_end_fn *on_end;
  void *arg;
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  bool closing;
  struct list members;  // oldest first
  size_t count;
  struct log_limit refusals;  // strangers can make any number of them
};

void greetings_init(struct greetings *greetings, uint8_t protocol, greeting_end_fn *on_end, void *arg);
// Greets a new connection, and takes over the stream and the session. When too many have not got through, the oldest is
// given up.
void greetings_start(struct greetings *greetings, nng_stream *stream, struct tls_session *tls);
// Gives all greetings up and waits for their end; each still calls `on_end`. None starts any more.
void greetings_close(struct greetings *greetings);
// Frees what greetings_init has made, after greetings_close.
void greetings_free(struct greetings *greetings);

#endif
