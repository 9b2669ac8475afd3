// Private to common/service: what calls to other services have in common, with streams and without.
#ifndef BULKHEAD_SERVICE_PEER_INTERNAL_H
#define BULKHEAD_SERVICE_PEER_INTERNAL_H

#include "common/base/uuid.h"
#include "common/observe/trace.h"
#include "common/rpc/rpc.h"
#include "common/service/call.h"

// The context of an outgoing call and the texts that it points to. It must not be moved.
struct peer_context {
  struct rpc_context context;
  char traceparent[TRACEPARENT_SIZE];
  char request_id[UUID_TEXT_SIZE];
};

// Makes the context of a call that serves `call`: its context with a new span. Background work, where `call` is NULL,
// starts a trace and a request id of its own.
void peer_make_context(struct peer_context *out, const struct call *call);
// Keeps a failure that no peer has sent for call_fail_as_peer, and returns its status. `call` may be NULL.
enum status peer_set_failure(struct call *call, enum status status, const char *reason, const char *message);
// Returns what a call that has ended has done; `not_applied`: its failure says that nothing has happened.
enum task_effect peer_find_effect(enum status status, bool not_applied);
// Notes for the task what a call to this method has done.
void peer_note_effect(const struct rpc_method *method, enum task_effect effect);

#endif
