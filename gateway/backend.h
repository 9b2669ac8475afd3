// How the gateway reaches the services: in production the RPC client (upstreams.h), in tests a script.
#ifndef BULKHEAD_GATEWAY_BACKEND_H
#define BULKHEAD_GATEWAY_BACKEND_H

#include "common/rpc/rpc_client.h"

struct backend {
  void *arg;
  // Starts a call. `done` is called exactly once and never from inside `call`; after `cancel` it is not called.
  // rpc_client_call and rpc_call_cancel promise the same.
  struct rpc_call *(*call)(void *arg, const struct rpc_call_options *options, rpc_done_fn *done, void *done_arg);
  // Returns whether the request has left, so that the service may have begun the call.
  bool (*cancel)(void *arg, struct rpc_call *call);
};

#endif
