// Private to common/service: a stream between the callbacks of the RPC layer and the tasks that read and write.
#ifndef BULKHEAD_SERVICE_STREAM_INTERNAL_H
#define BULKHEAD_SERVICE_STREAM_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/list.h"
#include "common/base/slice.h"
#include "common/rpc/rpc_client.h"
#include "common/rpc/rpc_server.h"
#include "common/runtime/task.h"
#include "common/service/stream.h"

struct stream {
  struct list node;  // in call.streams; empty without a call
  const struct rpc_method *method;
  struct call *call;            // the serving side: the call itself; the calling side: whose work it is, or NULL
  struct rpc_request *request;  // the serving side; NULL at the calling one
  struct rpc_call *peer;        // the calling side, until the call has ended
  struct list inbox;            // messages that have come and were not read
  struct arena message;         // holds the one that was read last
  struct completion *reader;    // a task waits for a message or the end; NULL when none does
  struct completion *writer;    // a task waits until it may write
  size_t moves;                 // messages that have come or left, and waits that have begun
  size_t seen_moves;            // when stream_end_if_idle looked last
  uint64_t idle_since_us;       // since when it has seen no other moves; 0 before its first look
  bool has_all;                 // the other side sends no more
  bool has_ended;               // the calling side: the reply has come
  bool writes_no_more;          // the calling side has ended its messages
  bool ignores_messages;        // nobody reads what comes
  enum status status;
  bool is_not_applied;  // the calling side: the call has failed, and nothing has happened
  struct slice reply;   // the calling side: the payload of a reply that is OK, of malloc
};

// Readies the stream of a call that is served.
void stream_init(struct stream *stream, struct call *call, struct rpc_request *request);
// Frees what the stream keeps.
void stream_release(struct stream *stream);
// Puts a message into the inbox.
void stream_add(struct stream *stream, struct slice payload);
// Notes that the other side sends no more.
void stream_note_all(struct stream *stream);
// Waits for a message or the end. False when the task may not wait any longer.
bool stream_wait_for_end(struct stream *stream) MUST_CHECK;
// Ends the stream with a failure, unless it has failed before, and wakes the tasks that wait.
void stream_fail(struct stream *stream, enum status status);
// Ends a stream with UNAVAILABLE in which a task waits, if nothing has moved for `idle_us`, as far as calls before this
// one have seen.
void stream_end_if_idle(struct stream *stream, uint64_t now_us, uint64_t idle_us);
// Wakes the task that waits until it may write.
void stream_wake_writer(struct stream *stream);

#endif
