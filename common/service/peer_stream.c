// Streams to other services. The RPC layer's callbacks fill the inbox and note the end; the task that has opened the
// stream reads, writes and closes it.
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/service/call_internal.h"
#include "common/service/peer_internal.h"
#include "common/service/proto_memory_internal.h"
#include "common/service/service_internal.h"

// ---- what the RPC layer brings ----

static void on_message(void *arg, struct slice payload)
{
  stream_add(arg, payload);
}

static void on_writable(void *arg)
{
  stream_wake_writer(arg);
}

static const struct rpc_stream_events events = {.on_message = on_message, .on_writable = on_writable};

static void keep_reply(struct stream *stream, struct slice payload)
{
  char *copy = malloc(payload.size + 1);
  CHECK(copy != NULL);
  if (payload.size != 0)
    memcpy(copy, payload.data, payload.size);
  stream->reply = slice_make(copy, payload.size);
}

static void on_done(void *arg, const struct rpc_status *status, struct slice payload)
{
  struct stream *stream = arg;
  stream->peer = NULL;
  stream->has_ended = true;
  stream->is_not_applied = slice_equal_string(status->reason, RPC_NOT_APPLIED);
  if (status->code == STATUS_OK)
    keep_reply(stream, payload);
  else if (stream->call != NULL)
    call_keep_peer_status(stream->call, status);
  if (stream->status == STATUS_OK)
    stream->status = status->code;
  stream_wake_writer(stream);
  stream_note_all(stream);
}

// ---- the calling side ----

static struct rpc_call *begin_call(struct stream *stream, struct service *service, struct strbuf *payload,
                                   const struct peer_context *context)
{
  const struct rpc_method *method = stream->method;
  uint64_t limit_us = deadline_after_ms(loop_now_us(service->loop), method->timeout_ms);
  const struct rpc_call_options options = {
      .service = method->service,
      .method = slice_from_string(method->full_name),
      .payload = strbuf_slice(payload),
      .deadline_us = deadline_min(task_deadline_us(), limit_us),
      .context = &context->context,
      .stream = &events,
      .writes_messages = method->client_streams,
  };
  return rpc_client_call(service->client, &options, on_done, stream);
}

void stream_open(struct service *service, struct call *call, const struct rpc_method *method,
                 const ProtobufCMessage *request, struct stream **out)
{
  CHECK((request == NULL) == method->client_streams);
  struct stream *stream = malloc(sizeof(*stream));
  CHECK(stream != NULL);
  stream_init(stream, call, NULL);
  stream->method = method;
  stream->ignores_messages = !method->server_streams;
  if (call != NULL)
    call->peer_status = (struct rpc_status){.code = STATUS_OK};
  service_follow_peer(service, method->service);
  struct peer_context context;
  struct strbuf payload;
  peer_make_context(&context, call);
  strbuf_init(&payload, 0);
  if (request != NULL)
    proto_pack(request, &payload);
  stream->peer = begin_call(stream, service, &payload, &context);
  strbuf_free(&payload);
  *out = stream;
}

void stream_end_writes(struct stream *stream)
{
  stream->writes_no_more = true;
  if (stream->peer != NULL)
    rpc_call_half_close(stream->peer);
}

enum status stream_finish(struct stream *stream, struct arena *arena, ProtobufCMessage **response)
{
  *response = NULL;
  stream_end_writes(stream);
  while (!stream->has_ended)
    if (!stream_wait_for_end(stream))
      return stream->status;
  if (stream->status != STATUS_OK)
    return stream->status;
  *response = proto_unpack(stream->method->output, stream->reply, arena);
  if (*response == NULL)
    return peer_set_failure(stream->call, STATUS_INTERNAL, "MALFORMED_REPLY",
                            "another service sent a reply that could not be read");
  return STATUS_OK;
}

// Returns what the call has done as far as this side knows. A stream that goes on is cancelled.
static enum task_effect end_call(struct stream *stream)
{
  if (stream->peer != NULL)
    return rpc_call_cancel(stream->peer) ? TASK_EFFECT_UNKNOWN : TASK_NO_EFFECT;
  return peer_find_effect(stream->status, stream->is_not_applied);
}

void stream_close(struct stream **stream_pointer)
{
  struct stream *stream = *stream_pointer;
  *stream_pointer = NULL;
  if (stream == NULL)
    return;
  peer_note_effect(stream->method, end_call(stream));
  stream_release(stream);
  free((char *)(uintptr_t)stream->reply.data);
  free(stream);
}
