// Who may call a method. The gateway has verified the token and says who the caller is; this is the second, independent
// look at the contract's policy, for calls that did not come through the gateway's routes too.
//
// Who the caller and the peer are is what the connection's other end says: whoever can open RPC_LISTEN is believed. So
// it listens on loopback, a Unix socket, a closed network, or with mutual TLS (RPC_TLS_CA).
#ifndef BULKHEAD_SERVICE_POLICY_INTERNAL_H
#define BULKHEAD_SERVICE_POLICY_INTERNAL_H

#include "common/rpc/rpc.h"
#include "common/service/call.h"

// peer_service of calls that come from outside.
#define POLICY_GATEWAY "gateway"

// OK, UNAUTHENTICATED or PERMISSION_DENIED; `message` says why, for the caller.
enum status policy_check(const struct rpc_method *method, const struct rpc_context *context,
                         const char **message) MUST_CHECK;

#endif
