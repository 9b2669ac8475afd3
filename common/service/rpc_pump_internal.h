// Drives an RPC client or server on the event loop: watches its fd, runs its timeouts, flushes it at the end of each
// turn.
#ifndef BULKHEAD_SERVICE_RPC_PUMP_INTERNAL_H
#define BULKHEAD_SERVICE_RPC_PUMP_INTERNAL_H

#include <stdint.h>

#include "common/rpc/rpc_client.h"
#include "common/rpc/rpc_server.h"
#include "common/runtime/loop.h"

struct rpc_pump {
  struct loop *loop;
  struct rpc_client *client;  // NULL: it drives a server
  struct rpc_server *server;  // NULL: it drives a client
  struct loop_watch *watch;
  struct loop_timer *timer;
  struct loop_hook hook;
  uint64_t armed_us;  // when the timer fires; DEADLINE_NONE: it is not set
};

// Starts driving a client or a server, which must outlive the pump.
void rpc_pump_client(struct rpc_pump *pump, struct loop *loop, struct rpc_client *client);
void rpc_pump_server(struct rpc_pump *pump, struct loop *loop, struct rpc_server *server);
// Stops driving. A zeroed pump is accepted.
void rpc_pump_end(struct rpc_pump *pump);

#endif
