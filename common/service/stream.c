#include "common/service/stream_internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/compiler.h"
#include "common/service/call_internal.h"
#include "common/service/peer_internal.h"
#include "common/service/proto_memory_internal.h"

// A message that was not read yet.
struct stream_message {
  struct list node;  // in stream.inbox
  size_t size;
  char bytes[];
};

// ---- what the RPC layer brings ----

void stream_init(struct stream *stream, struct call *call, struct rpc_request *request)
{
  *stream = (struct stream){.call = call, .request = request, .status = STATUS_OK};
  list_init(&stream->node);
  list_init(&stream->inbox);
  arena_init(&stream->message);
  if (call != NULL)
    list_append(&call->streams, &stream->node);
}

static void empty_inbox(struct stream *stream)
{
  while (!list_empty(&stream->inbox)) {
    struct stream_message *message = CONTAINER_OF(stream->inbox.next, struct stream_message, node);
    list_remove(&message->node);
    free(message);
  }
}

void stream_release(struct stream *stream)
{
  bool no_task_waits_in_the_stream = stream->reader == NULL && stream->writer == NULL;
  CHECK(no_task_waits_in_the_stream);
  list_remove(&stream->node);
  empty_inbox(stream);
  arena_free(&stream->message);
}

static void wake(struct completion *waiting)
{
  if (waiting != NULL && !waiting->done)
    completion_finish(waiting, STATUS_OK);
}

void stream_add(struct stream *stream, struct slice payload)
{
  // Without credit for them, no more than a few come.
  if (stream->ignores_messages)
    return;
  struct stream_message *message = malloc(sizeof(*message) + payload.size);
  CHECK(message != NULL);
  message->size = payload.size;
  if (payload.size != 0)
    memcpy(message->bytes, payload.data, payload.size);
  list_init(&message->node);
  list_append(&stream->inbox, &message->node);
  stream->moves++;
  wake(stream->reader);
}

void stream_note_all(struct stream *stream)
{
  stream->has_all = true;
  wake(stream->reader);
}

void stream_wake_writer(struct stream *stream)
{
  wake(stream->writer);
}

void stream_fail(struct stream *stream, enum status status)
{
  if (stream->status == STATUS_OK)
    stream->status = status;
  wake(stream->reader);
  wake(stream->writer);
}

void stream_interrupt(struct stream *stream, enum status status)
{
  stream_fail(stream, status);
}

void stream_end_if_idle(struct stream *stream, uint64_t now_us, uint64_t idle_us)
{
  if (stream->idle_since_us == 0 || stream->seen_moves != stream->moves) {
    stream->seen_moves = stream->moves;
    stream->idle_since_us = now_us;
  } else if ((stream->reader != NULL || stream->writer != NULL) && now_us - stream->idle_since_us >= idle_us) {
    stream_fail(stream, STATUS_UNAVAILABLE);
  }
}

// ---- waiting ----

// Waits until the callbacks of the RPC layer wake the task, at most `limit_ms` unless that is 0. False when the task
// may not wait any longer; the stream has failed then.
static bool wait_for(struct stream *stream, struct completion **place, const char *what, uint32_t limit_ms)
{
  struct completion waiting = {.what = what};
  uint64_t before_us = task_deadline_us();
  if (limit_ms > 0)
    (void)task_tighten_deadline(deadline_after_ms(clock_now_us(), limit_ms));
  bool one_task_reads_and_one_writes = *place == NULL;
  CHECK(one_task_reads_and_one_writes);
  *place = &waiting;
  stream->moves++;
  enum status status = completion_wait(&waiting);
  *place = NULL;
  if (limit_ms > 0)
    task_restore_deadline(before_us);
  if (waiting.done)
    return true;
  stream_fail(stream, status);
  return false;
}

bool stream_wait_for_end(struct stream *stream)
{
  return wait_for(stream, &stream->reader, "the end of a stream", 0);
}

// ---- reading ----

static const ProtobufCMessageDescriptor *find_read_type(const struct stream *stream)
{
  return stream->request != NULL ? stream->method->input : stream->method->output;
}

static void give_credit(struct stream *stream, size_t size)
{
  if (stream->request != NULL)
    rpc_request_take_message(stream->request, size);
  else if (stream->peer != NULL)
    rpc_call_take_messages(stream->peer, 1, size);
}

static enum status read_message(struct stream *stream, struct slice bytes, const ProtobufCMessage **message)
{
  arena_reset(&stream->message);
  *message = proto_unpack(find_read_type(stream), bytes, &stream->message);
  if (stream->request != NULL)
    return call_check_message(stream->call, *message);
  if (*message != NULL)
    return STATUS_OK;
  return peer_set_failure(stream->call, STATUS_INTERNAL, "MALFORMED_MESSAGE",
                          "another service sent a message that could not be read");
}

bool stream_read(struct stream *stream, const ProtobufCMessage **message)
{
  *message = NULL;
  while (list_empty(&stream->inbox)) {
    if (stream->has_all || stream->status != STATUS_OK ||
        !wait_for(stream, &stream->reader, "a message of a stream", stream->method->message_timeout_ms))
      return false;
  }
  struct stream_message *next = CONTAINER_OF(stream->inbox.next, struct stream_message, node);
  list_remove(&next->node);
  enum status status = read_message(stream, slice_make(next->bytes, next->size), message);
  give_credit(stream, next->size);
  free(next);
  if (status == STATUS_OK)
    return true;
  *message = NULL;
  stream_fail(stream, status);
  stream->ignores_messages = true;
  empty_inbox(stream);
  return false;
}

enum status stream_status(const struct stream *stream)
{
  return stream->status;
}

// ---- writing ----

static bool may_write(struct stream *stream)
{
  return stream->request != NULL ? rpc_request_may_write(stream->request) : rpc_call_may_write(stream->peer);
}

static bool send_message(struct stream *stream, struct slice bytes)
{
  return stream->request != NULL ? rpc_request_write(stream->request, bytes) : rpc_call_write(stream->peer, bytes);
}

// Waits until a message may be written. False when none may be any more.
static bool wait_for_room(struct stream *stream)
{
  for (;;) {
    if (stream->status != STATUS_OK)
      return false;
    // The other side may reply before all has been written: it wants no more messages.
    if (stream->request == NULL && stream->has_ended)
      return false;
    if (may_write(stream))
      return true;
    if (!wait_for(stream, &stream->writer, "room in a stream", stream->method->message_timeout_ms))
      return false;
  }
}

static enum status fail_too_large(struct stream *stream)
{
  static const char text[] = "a message of a stream is larger than a message may be";
  if (stream->request != NULL)
    return call_fail(stream->call, STATUS_INTERNAL, "MESSAGE_TOO_LARGE", text);
  return peer_set_failure(stream->call, STATUS_INVALID_ARGUMENT, "MESSAGE_TOO_LARGE", text);
}

bool stream_write(struct stream *stream, const ProtobufCMessage *message)
{
  CHECK(!stream->writes_no_more);
  CHECK(message->descriptor == (stream->request != NULL ? stream->method->output : stream->method->input));
  // A task that does nothing but write ends with its call, too.
  enum status status = task_check();
  if (status != STATUS_OK)
    stream_fail(stream, status);
  if (!wait_for_room(stream))
    return false;
  struct strbuf bytes;
  strbuf_init(&bytes, 0);
  proto_pack(message, &bytes);
  bool sent = send_message(stream, strbuf_slice(&bytes));
  strbuf_free(&bytes);
  if (sent)
    stream->moves++;
  else
    stream_fail(stream, fail_too_large(stream));
  return sent;
}
