// Takes the place of what serves a request, in a copy of the item service that tests/fault starts to see how often a
// failing request is tried. The Makefile names the function that is wrapped.
#include "common/rpc/rpc_server.h"

void __wrap_dispatch_request(void *arg, struct rpc_request *request);

// Refuses every request as an instance does that has not begun it, so that the client may try another one.
void __wrap_dispatch_request(void *arg, struct rpc_request *request)
{
  const struct rpc_status refusal = {
      .code = STATUS_UNAVAILABLE, .message = SLICE("refused by a test"), .reason = SLICE(RPC_NOT_APPLIED)};
  (void)arg;
  rpc_request_reply(request, &refusal, (struct slice){0});
}
