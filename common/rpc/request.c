#include "common/rpc/request_internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/compiler.h"
#include "common/base/hash.h"

// The time that a client is told to wait when this instance is full.
#define RETRY_AFTER_MS 100
// The bytes of an access token that are enough to tell callers apart.
#define OWNER_BYTES 16

// ---- messages ----

struct shared_message *shared_message_make(struct slice packet)
{
  struct shared_message *shared = malloc(sizeof(*shared) + packet.size);
  CHECK(shared != NULL);
  shared->users = 1;
  shared->size = packet.size;
  if (packet.size != 0)
    memcpy(shared->bytes, packet.data, packet.size);
  return shared;
}

void shared_message_release(struct shared_message **shared_pointer)
{
  struct shared_message *shared = *shared_pointer;
  *shared_pointer = NULL;
  if (--shared->users == 0)
    free(shared);
}

// ---- before a request begins ----

bool request_is_probe(const struct rpc_frame *frame)
{
  return frame->call_id == 0 && frame->method.size == 0;
}

uint64_t request_find_deadline(const struct rpc_frame *frame, uint64_t now_us)
{
  uint64_t by_arrival_us = frame->timeout_ms == 0 ? DEADLINE_NONE : deadline_after_ms(now_us, frame->timeout_ms);
  return frame->expires_at_us == 0 ? by_arrival_us : deadline_min(by_arrival_us, frame->expires_at_us);
}

const struct rpc_status *request_find_refusal(enum connection_state state, const struct rpc_frame *frame,
                                              uint64_t now_us, enum request_room room)
{
  static const struct rpc_status leaving = {.code = STATUS_UNAVAILABLE,
                                            .message = SLICE_INIT("no more calls are taken over this connection"),
                                            .reason = SLICE_INIT(RPC_NOT_APPLIED)};
  static const struct rpc_status expired = {.code = STATUS_DEADLINE_EXCEEDED,
                                            .message = SLICE_INIT("the deadline had passed when the request was read"),
                                            .reason = SLICE_INIT(RPC_NOT_APPLIED)};
  static const struct rpc_status full = {.code = STATUS_RESOURCE_EXHAUSTED,
                                         .message = SLICE_INIT("too many calls in flight in this instance"),
                                         .reason = SLICE_INIT(RPC_NOT_APPLIED),
                                         .retry_after_ms = RETRY_AFTER_MS};
  static const struct rpc_status congested = {.code = STATUS_RESOURCE_EXHAUSTED,
                                              .message = SLICE_INIT(RPC_UNREAD_BYTES_MESSAGE),
                                              .reason = SLICE_INIT(RPC_TOO_MANY_UNREAD_BYTES),
                                              .retry_after_ms = RETRY_AFTER_MS};
  static const struct rpc_status nameless = {.code = STATUS_INVALID_ARGUMENT,
                                             .message = SLICE_INIT("the request names no method")};
  static const struct rpc_status unproven = {
      .code = STATUS_UNAUTHENTICATED,
      .message = SLICE_INIT("the connection has not proven which service calls; see SERVICE_KEY and RPC_TLS_CA"),
      .reason = SLICE_INIT(RPC_UNPROVEN_CALLER)};
  if (state == CONNECTION_UNPROVEN)
    return &unproven;
  // Requests that crossed with the GOAWAY are still served.
  if (state == CONNECTION_GOAWAY_ACKED)
    return &leaving;
  if (frame->expires_at_us != 0 && frame->expires_at_us <= now_us)
    return &expired;
  if (room != REQUEST_HAS_ROOM)
    return room == REQUEST_TOO_MANY_BYTES ? &congested : &full;
  return frame->method.size == 0 ? &nameless : NULL;
}

uint8_t request_find_owner(const struct rpc_context *context)
{
  // The end of a token is its signature, which differs from any other's.
  const struct slice *who = context->access_token.size != 0 ? &context->access_token : &context->client_address;
  struct slice end = slice_skip(*who, who->size > OWNER_BYTES ? who->size - OWNER_BYTES : 0);
  return end.size == 0 ? 0 : (uint8_t)(1 + hash_bytes(end) % OUTBOX_OWNERS);
}

// ---- table ----

void request_table_free(struct request_table *table)
{
  hashtable_free(&table->by_call);
}

void request_table_add(struct request_table *table, struct rpc_request *request)
{
  hashtable_insert(&table->by_call, &request->slot, hash_integers(request->frame.call_id, 0));
}

void request_table_remove(struct request_table *table, struct rpc_request *request)
{
  hashtable_remove(&table->by_call, &request->slot);
}

struct rpc_request *request_table_find(const struct request_table *table, const struct connection *connection,
                                       uint64_t call_id)
{
  struct hashtable_node *slot = hashtable_first(&table->by_call, hash_integers(call_id, 0));
  for (; slot != NULL; slot = hashtable_next(slot)) {
    struct rpc_request *request = CONTAINER_OF(slot, struct rpc_request, slot);
    if (request->connection == connection && request->frame.call_id == call_id)
      return request;
  }
  return NULL;
}

// ---- what handlers see ----

struct slice rpc_request_method(const struct rpc_request *request)
{
  return request->frame.method;
}

struct slice rpc_request_payload(const struct rpc_request *request)
{
  return request->frame.payload;
}

const struct rpc_context *rpc_request_context(const struct rpc_request *request)
{
  return &request->frame.context;
}

uint64_t rpc_request_deadline_us(const struct rpc_request *request)
{
  return request->deadline_us;
}

struct arena *rpc_request_arena(struct rpc_request *request)
{
  return &request->arena;
}

void rpc_request_set_data(struct rpc_request *request, void *data)
{
  request->data = data;
}

void *rpc_request_data(const struct rpc_request *request)
{
  return request->data;
}
