// The messages of one call, in either direction, as a task reads and writes them. The handler of a method with `stream`
// in its contract gets one, and so does who calls such a method:
//
//   const Item__V1__Line *line;
//   while (item_v1_item_service_import_items_read_request(stream, &line))
//     status = ...;
//   return stream_status(stream);
//
// protoc-gen-bulkhead writes such functions for each method, with its types; they are made of what stands here. A
// reader gives credit for what it has read, so that a task that reads slowly slows down who writes to it, and nobody
// else.
//
// One task may read a stream while another one writes to it. Two readers, or two writers, at the same time are a bug
// that ends the process. What makes one of them fail makes the other fail, too. A handler waits for the tasks that it
// has started before it returns, because the stream ends with it.
//
// A stream ends for good with the reply, the deadline of the call, or its cancellation. With message_timeout_ms in the
// contract, a wait for one message, or for room for one, has a limit of its own. Once the process drains, a stream that
// waits for a second without a message in either direction ends with UNAVAILABLE; see call_is_draining.
#ifndef BULKHEAD_SERVICE_STREAM_H
#define BULKHEAD_SERVICE_STREAM_H

#include <stdbool.h>

#include <protobuf-c/protobuf-c.h>

#include "common/base/arena.h"
#include "common/base/compiler.h"
#include "common/base/status.h"

struct call;
struct rpc_method;
struct service;
struct stream;

// Waits for the next message of the other side, which is valid until the next read. False when there is none any more,
// and when the stream has failed; stream_status tells which. At the serving side a message has been validated against
// its contract.
bool stream_read(struct stream *stream, const ProtobufCMessage **message) MUST_CHECK;
// Sends a message, and waits while the other side takes no more. False when the stream has failed; with stream_status
// OK, the other side has replied already and wants no more messages.
bool stream_write(struct stream *stream, const ProtobufCMessage *message) MUST_CHECK;
// Returns OK while the stream goes on and when the other side has ended its messages in good order, else why the stream
// has failed. A handler ends with it, unless it fails itself.
enum status stream_status(const struct stream *stream);
// Fails the stream from another task: what waits in it ends, with this status unless the stream has failed before.
void stream_interrupt(struct stream *stream, enum status status);

// ---- the calling side ----

// Opens a stream to a method of another service; `call` is the one that is served meanwhile, whose context is passed
// on, or NULL in background work. `request` is the one message of a method that takes only one, else NULL. Never waits:
// what keeps the call from being made is told by the first read or write. The caller closes the stream, in the task
// that has opened it.
void stream_open(struct service *service, struct call *call, const struct rpc_method *method,
                 const ProtobufCMessage *request, struct stream **out);
// Says that no more messages follow. Those of the other side can still be read.
void stream_end_writes(struct stream *stream);
// Ends the writes and waits for the reply of a method that answers with one message, which lives in `arena`.
enum status stream_finish(struct stream *stream, struct arena *arena, ProtobufCMessage **response) MUST_CHECK;
// Closes the stream, which is cancelled if it goes on. Nulls the pointer and accepts NULL in it.
void stream_close(struct stream **stream);

#endif
