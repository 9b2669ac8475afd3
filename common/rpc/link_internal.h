// Makes connections: dials or listens through nng's byte streams, proves both sides by TLS if there are certificates,
// and exchanges the greeting of SP (the Scalability Protocols, which nng's own sockets speak) on each. All of it
// happens on nng's threads, which report by events.
#ifndef BULKHEAD_RPC_LINK_INTERNAL_H
#define BULKHEAD_RPC_LINK_INTERNAL_H

#include <stdint.h>

#include "common/base/status.h"
#include "common/rpc/pipe_events_internal.h"

struct rpc_link;
struct rpc_tls;
struct tls_context;

struct rpc_link_options {
  const char *url;
  struct tls_context *tls;     // must outlive the link; NULL without TLS
  const char *service;         // that the other side must prove to be; NULL for a listener
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
// Makes the context of the files; NULL without a CA. The caller frees it with tls_context_free.
struct tls_context *rpc_tls_open(const struct rpc_tls *tls);

// Stops dialling or listening and frees the link; connections that are open stay so. NULL is accepted.
void rpc_link_close(struct rpc_link **link);

#endif
