// Whether the other side of an open connection would still be let in. A name is proven once, when a connection opens;
// the keys and authorities that proved it may be taken away later, and certificates expire.
//
// Clients and servers look at their connections every RPC_RECHECK_MS. A connection whose other side is not accepted any
// more is revoked: a client dials the instance again at once and sends new calls over the new connection only, a server
// tells its client to do so. The calls in flight end first, and then the old connection is closed. So a service whose
// certificates were replaced notices nothing, and one that is trusted no longer is refused when it dials again.
#ifndef BULKHEAD_RPC_TRUST_INTERNAL_H
#define BULKHEAD_RPC_TRUST_INTERNAL_H

#include <stdbool.h>

#include "common/base/status.h"
#include "common/security/service_identity.h"

struct packet_stream;
struct tls_context;

// How often open connections are looked at.
#define RPC_RECHECK_MS 5000
// How often a revoked connection is looked at, and how long a revoked client may still send requests that cross with
// the GOAWAY.
#define RPC_REVOKED_RECHECK_MS 1000
// The time after which a server closes a revoked connection although calls are in flight: twice as long as the longest
// call of the contracts takes.
#define RPC_REVOKED_MAX_MS 60000

// What one client or server proves names with; NULL for what it does not have.
struct rpc_trust {
  struct tls_context *tls;
  struct service_identity *identity;
};

// Judges the other side of an open connection again: its certificate, or the hello that is kept as `evidence`. One that
// has proven nothing is accepted, because nothing was asked of it. False when it would be refused now; then `error`
// says why.
bool rpc_trust_accepts(const struct rpc_trust *trust, const struct packet_stream *stream,
                       struct service_evidence *evidence, struct error *error) MUST_CHECK;
// Counts and logs that the other side of a connection, `peer`, is accepted no longer.
void rpc_trust_report_revoked(const char *peer, const struct error *error);

#endif
