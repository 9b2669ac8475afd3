// How calls leave: in production by the RPC client, in tests by a script.
#ifndef BULKHEAD_RPC_BACKEND_H
#define BULKHEAD_RPC_BACKEND_H

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
