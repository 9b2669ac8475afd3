// Private to common/service: struct call, which lies in its request's arena and ends with the reply.
#ifndef BULKHEAD_SERVICE_CALL_INTERNAL_H
#define BULKHEAD_SERVICE_CALL_INTERNAL_H

#include "common/base/list.h"
#include "common/observe/log.h"
#include "common/rpc/rpc_server.h"
#include "common/runtime/task.h"
#include "common/service/call.h"
#include "common/service/stream_internal.h"

struct idempotency;

struct call {
  struct list node;  // in dispatch.calls while its task runs
  struct service *service;
  struct dispatch *dispatch;
  const struct rpc_method *method;
  const void *handlers;
  struct rpc_request *request;
  struct arena *arena;
  const struct rpc_context *context;  // `verified`
  struct rpc_context verified;        // as it came, with the user whom its token proves
  struct log_context log_context;
  struct task *task;  // NULL before it has started
  ProtobufCMessage *input;
  ProtobufCMessage *output;
  struct stream stream;  // of a method with one
  struct list streams;   // stream.node: `stream`, and those to other services that serve the call
  uint64_t began_us;
  enum task_effect effect;          // of the task, once the handler has returned
  bool found_full;                  // the same, see task_note_full
  bool found_unwanted;              // the same, see task_found_unwanted
  struct task_cause cause;          // the same, see task_find_cause
  struct idempotency *idempotency;  // NULL for a call without an Idempotency-Key

  void (*when_done)(struct call *call);  // NULL: nobody asks

  bool asked_for_owner;  // the handler has asked for the ownership rule of its method
  enum status refusal;   // why callers_identify has refused it
  // How the call ends, as far as the handler said so.
  struct slice message;
  struct slice reason;
  struct violations violations;
  uint32_t retry_after_ms;
  bool has_reply_bytes;
  struct slice reply_bytes;
  struct strbuf *reply_buffer;  // holds `reply_bytes`; NULL where they are to be copied
  // How the last call_peer failed; code OK if it did not.
  struct rpc_status peer_status;
};

void call_init(struct call *call, struct service *service, struct arena *arena, const struct rpc_context *context);
// Who makes the call, as the policy sees it.
struct policy_caller call_policy_caller(const struct call *call);
// Checks a message of the client against its rules; NULL is one that could not be read. Where it is not OK, what is
// wrong was noted as how the call fails.
enum status call_check_message(struct call *call, const ProtobufCMessage *message) MUST_CHECK;
// Judges the request by the method's owner_field, where it has one. Where it is not OK, the reason was noted.
enum status call_check_owner(struct call *call) MUST_CHECK;
// Makes the status to send from what the handler returned, with default texts where it gave none. The result lives in
// the call's arena. `status` must not be OK.
struct rpc_status call_outcome(struct call *call, enum status status);
// Keeps a copy of a peer's status for call_fail_as_peer.
void call_keep_peer_status(struct call *call, const struct rpc_status *status);

#endif
