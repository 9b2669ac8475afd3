// Takes a request of the RPC server to its handler and back: method, policy, unpacking, validation, a task, the reply.
#ifndef BULKHEAD_SERVICE_DISPATCH_INTERNAL_H
#define BULKHEAD_SERVICE_DISPATCH_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/list.h"
#include "common/base/strmap.h"
#include "common/rpc/rpc_server.h"
#include "common/service/failure_log_internal.h"
#include "common/service/service.h"

struct served_method {
  const struct rpc_method *method;
  const void *handlers;
};

struct dispatch {
  struct service *service;
  struct loop *loop;
  struct strmap methods;  // full name -> struct served_method
  struct served_method *served;
  struct list calls;  // calls whose task runs
  struct failure_log failures;
};

// Checks that every method of the bindings has a handler; the error names those that have none.
enum status dispatch_check_handlers(const struct rpc_binding *bindings, size_t binding_count,
                                    struct error *error) MUST_CHECK;

// Returns the longest time limit of the methods without a stream; 0 without any. A stream may go on for far longer than
// a process that ends can wait for it.
uint32_t dispatch_longest_ms(const struct rpc_binding *bindings, size_t binding_count);

// Builds the table of methods. CHECKs that each method is there once and has a policy.
void dispatch_init(struct dispatch *dispatch, struct service *service, const struct rpc_binding *bindings,
                   size_t binding_count);
void dispatch_free(struct dispatch *dispatch);

// The callbacks of the RPC server's options; `arg` is the dispatch.
// Health checks without a stream are vital.
bool dispatch_is_vital(void *arg, struct slice method);
void dispatch_request(void *arg, struct rpc_request *request);
void dispatch_cancel(void *arg, struct rpc_request *request);
void dispatch_message(void *arg, struct rpc_request *request, struct slice payload);
void dispatch_half_close(void *arg, struct rpc_request *request);
void dispatch_writable(void *arg, struct rpc_request *request);

// Ends the streams that wait while nothing has moved in them for `idle_us`, as far as calls before this one have seen:
// those of calls with a stream, in both directions. A call without one has its time limit.
void dispatch_end_idle_streams(struct dispatch *dispatch, uint64_t now_us, uint64_t idle_us);
// Cancels all calls whose task runs.
void dispatch_cancel_all(struct dispatch *dispatch);

#endif
