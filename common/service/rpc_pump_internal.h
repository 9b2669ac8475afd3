// Drives an RPC client or server, which know no event loop, on ours: its fd, its timeouts, its flush at the end of
// turns.
#ifndef BULKHEAD_SERVICE_RPC_PUMP_INTERNAL_H
#define BULKHEAD_SERVICE_RPC_PUMP_INTERNAL_H

#include <stdint.h>

#include "common/rpc/rpc_client.h"
#include "common/rpc/rpc_server.h"
#include "common/runtime/loop.h"

struct rpc_pump {
  struct loop *loop;
  struct rpc_client *client;  // one of the two
  struct rpc_server *server;
  struct loop_watch *watch;
  struct loop_timer *timer;
  struct loop_hook hook;
  uint64_t armed_us;  // what the timer is set to; DEADLINE_NONE where it does not run
};

void rpc_pump_client(struct rpc_pump *pump, struct loop *loop, struct rpc_client *client);
void rpc_pump_server(struct rpc_pump *pump, struct loop *loop, struct rpc_server *server);
// Before the client or server is freed. A zeroed pump is accepted.
void rpc_pump_end(struct rpc_pump *pump);

#endif
