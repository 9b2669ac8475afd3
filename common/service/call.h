// One RPC call as its handler sees it. A handler runs as a task: straight-line code over pg.h, cache.h and generated
// clients.
//
//   enum status item_get(struct call *call, const Item__V1__GetItemRequest *request, Item__V1__Item *response);
//
// The request has been validated against its contract and the caller against the method's policy. Everything that the
// response points to lives in call_arena(). An error leaves with the status returned and what call_fail said.
#ifndef BULKHEAD_SERVICE_CALL_H
#define BULKHEAD_SERVICE_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include "common/base/arena.h"
#include "common/base/slice.h"
#include "common/base/status.h"
#include "common/base/strbuf.h"
#include "common/contract/policy.h"
#include "common/contract/validate.h"

struct call;
struct service;
struct stream;

// The state that the service's start function has made.
void *call_state(const struct call *call);
struct arena *call_arena(struct call *call);

// The verified user behind the call; empty for an anonymous one.
struct slice call_caller_id(const struct call *call);
// The session that the user's token belongs to, a UUID as text; empty where the token names none.
struct slice call_caller_session(const struct call *call);
// Which generation of the account's tokens the token is of; 0 where it does not say.
int64_t call_caller_generation(const struct call *call);
// Whether the token allows nothing but its permissions: that of an API key.
bool call_caller_is_limited(const struct call *call);
// When the user last proved who he is in this session, in Unix seconds; 0 where the token does not say.
int64_t call_caller_auth_time(const struct call *call);
bool call_caller_has_role(const struct call *call, const char *role);
// Whether the caller holds a permission, which need not be the method's. `every_user`: the role "user" holds it
// (permissions.h).
bool call_caller_holds(const struct call *call, const char *permission, bool every_user);
// Judges a caller by the ownership rule of the method's contract (owner_stored): may he do this to what belongs to the
// account `owner_id`? PERMISSION_DENIED, with what the contract says of it, where he may not. It is asked before
// anything is changed or shown; a handler that answers OK without having asked is a mistake, which the caller is told
// as INTERNAL.
enum status call_may(struct call *call, const char *owner_id) MUST_CHECK;
// Decides the same without failing the call, for what must not be known to exist.
bool call_owns(struct call *call, const char *owner_id);
// The address of the HTTP client behind the call, as text; empty where there is none.
struct slice call_client_address(const struct call *call);
// The User-Agent of the HTTP client behind the call, any text; empty where there is none, and where the client's
// request had no side effects.
struct slice call_user_agent(const struct call *call);
// The id of the trace that the call belongs to, 32 hexadecimal digits; empty where there is none.
struct slice call_trace_id(const struct call *call);

// Returns the stream of a call to a method with `stream` in its contract; handlers get it as an argument.
struct stream *call_stream(struct call *call);
// Returns whether this instance is about to end. A handler whose stream would go on for long ends it with UNAVAILABLE
// then, so that its client opens it again at another instance. A stream that waits in a read or a write while nothing
// comes or leaves for a second ends so by itself; the others are cancelled at the end of the drain.
bool call_is_draining(const struct call *call);

// Sets what the caller is told and returns `status`, for use as
// `return call_fail(call, STATUS_NOT_FOUND, "ITEM_NOT_FOUND", "there is no item %s", id);`. `reason` is static text in
// UPPER_SNAKE_CASE. Clients see the message. UNAVAILABLE, DEADLINE_EXCEEDED and CANCELLED leave with another reason,
// which says whether the call may be repeated: RPC_NOT_APPLIED or RPC_OUTCOME_UNKNOWN, by what the task has noted with
// task_note_effect.
enum status call_fail(struct call *call, enum status status, const char *reason, const char *format, ...)
    PRINTF_LIKE(4, 5);
// Sets how long the caller is told to wait before it calls again (Retry-After), in milliseconds.
void call_retry_after(struct call *call, uint32_t retry_after_ms);
// Adds a violation of `field`, a JSON path. Clients see violations of INVALID_ARGUMENT, ALREADY_EXISTS and
// FAILED_PRECONDITION.
void call_violation(struct call *call, const char *field, const char *description);

// Replies with these bytes, such as a cached reply, instead of the response struct. They are copied at the end of the
// call.
void call_reply_bytes(struct call *call, struct slice wire);
// Replies with the content of a buffer, which must last until the end of the call: its memory passes on without a copy.
void call_reply_buffer(struct call *call, struct strbuf *wire);

// Has a function run once the outcome of the call is final, also of the transaction of an Idempotency-Key, and before
// the reply leaves. It runs also where the call has failed, does not wait, and replaces one that was set before.
void call_when_done(struct call *call, void (*run)(struct call *call));

// ---- tables that protoc-gen-bulkhead writes ----

struct rpc_method {
  const char *full_name;  // "item.v1.ItemService/GetItem"
  const char *service;    // "item", the service that has this method
  const ProtobufCMessageDescriptor *input;
  const ProtobufCMessageDescriptor *output;
  const struct message_rules *input_rules;
  struct policy policy;
  uint32_t timeout_ms;
  uint32_t cache_ttl_ms;
  bool client_streams;          // the client sends any number of messages; the handler gets a stream and no request
  bool server_streams;          // the handler sends any number of messages, and has no response
  uint32_t message_timeout_ms;  // of one read or write of a stream; 0: only the call as a whole has a limit
  uint32_t hedge_after_ms;      // when a call without reply is sent to a second instance as well; 0: never
  bool no_side_effects;
  bool takes_idempotency_key;
  bool secret_reply;  // the reply is not kept for a repeat with the same Idempotency-Key
  // Where the handler struct has this method's handler. A service with NULL there does not start.
  size_t handler_offset;
  // Calls the handler with the types that it expects.
  enum status (*invoke)(const void *handlers, struct call *call, const ProtobufCMessage *request,
                        ProtobufCMessage *response);
};

// One proto service: its methods and, where it is served, the handlers (struct item_v1_item_service_handlers).
struct rpc_service {
  const char *full_name;  // "item.v1.ItemService"
  const char *service;    // "item"
  const struct rpc_method *methods;
  size_t method_count;
};

struct rpc_binding {
  const struct rpc_service *service;
  const void *handlers;
};

// Calls a method of another service and waits for the reply; generated clients are made of this. Any task of the
// service may call it. The context of `call` (request id, trace, caller) is passed on; `call` is NULL in background
// work. On success *response lives in `arena`. On failure the peer's status is returned and kept for call_fail_as_peer.
// The effect of a method with side effects is noted for the task: done, or unknown unless the failure says that nothing
// has happened.
enum status call_peer(struct service *service, struct call *call, const struct rpc_method *method,
                      const ProtobufCMessage *request, struct arena *arena, ProtobufCMessage **response) MUST_CHECK;
struct service *call_service(const struct call *call);
// Fails with status, reason, message and violations of the last call_peer of this call; returns `status`.
enum status call_fail_as_peer(struct call *call, enum status status);

#endif
