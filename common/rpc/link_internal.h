// Makes connections: dials or listens through nng's byte streams, and exchanges the greeting of SP (the Scalability
// Protocols, which nng's own sockets speak) on each. All of it happens on nng's threads, which report by events.
#ifndef BULKHEAD_RPC_LINK_INTERNAL_H
#define BULKHEAD_RPC_LINK_INTERNAL_H

#include <stdint.h>

#include "common/base/status.h"
#include "common/rpc/pipe_events_internal.h"
#include "common/rpc/rpc.h"

// The time that a dial may take, and then the greeting. The same as nng's own.
#define RPC_GREETING_TIMEOUT_MS 10000

struct rpc_link;

struct rpc_link_options {
  const char *url;
  const struct rpc_tls *tls;
  struct pipe_events *events;  // must outlive the link
  uint64_t id;                 // in the events of the link
};

// Dials once, as SP's REQ. PIPE_OPENED or PIPE_FAILED follows, unless the link is closed before. On failure `error`
// names the URL and the reason.
enum status rpc_link_dial(const struct rpc_link_options *options, struct rpc_link **out,
                          struct error *error) MUST_CHECK;
// Listens, as SP's REP. PIPE_OPENED follows for each client. `port` becomes the bound port of a TCP listener, 0 for
// others. On failure `error` names the URL and the reason.
enum status rpc_link_listen(const struct rpc_link_options *options, struct rpc_link **out, int *port,
                            struct error *error) MUST_CHECK;
// Stops dialling or listening and frees the link; connections that are open stay so. NULL is accepted.
void rpc_link_close(struct rpc_link **link);

// Returns nng's words for one of its error codes.
const char *rpc_link_error(int code);

#endif
