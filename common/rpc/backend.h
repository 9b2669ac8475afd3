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
  // Gives the service credit for messages of a stream, of `size` bytes together (rpc_call_take_messages).
  void (*take)(void *arg, struct rpc_call *call, size_t count, size_t size);
  // Send messages of a stream, as rpc_call_may_write, rpc_call_write and rpc_call_half_close do.
  bool (*may_write)(void *arg, struct rpc_call *call);
  bool (*write)(void *arg, struct rpc_call *call, struct slice message);
  void (*half_close)(void *arg, struct rpc_call *call);
  // Returns which instance has the call, as rpc_call_instance does. NULL where there are no instances.
  struct slice (*instance)(void *arg, const struct rpc_call *call);
};

#endif
