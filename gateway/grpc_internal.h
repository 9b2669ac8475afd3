// What gRPC and gRPC-Web share: the names of their types, how a message stands in a body, and how a call's end is told.
// In streams of Connect messages have the same prefix. Private to gateway/grpc*.c, connect_stream.c and protocol.c.
#ifndef BULKHEAD_GATEWAY_GRPC_INTERNAL_H
#define BULKHEAD_GATEWAY_GRPC_INTERNAL_H

#include "gateway/protocol_internal.h"

// Before each message stand five bytes: flags, and its size.
#define GRPC_PREFIX_BYTES 5
#define GRPC_STATUS_NAME SLICE("grpc-status")

enum grpc_type {
  GRPC_TYPE_NONE,
  GRPC_TYPE_NATIVE,    // application/grpc
  GRPC_TYPE_WEB,       // application/grpc-web
  GRPC_TYPE_WEB_TEXT,  // application/grpc-web-text: all is in base64
};

// The first byte of a prefix.
enum grpc_flags {
  GRPC_PLAIN = 0,
  GRPC_COMPRESSED = 1,
  GRPC_TRAILERS = 0x80,  // of gRPC-Web: the frame holds no message, but what gRPC has in trailers
};

// Tells which of the protocols a content type means, whatever the form of its messages.
enum grpc_type grpc_read_type(struct slice content_type);

// Find the method of a call, refuse a call without a body, and find the one message of `body`.
enum step_result grpc_find_method(struct exchange *exchange);
enum step_result grpc_begin_body(struct exchange *exchange);
enum step_result grpc_judge_frame(struct exchange *exchange, struct slice body);
// Refuses a body that is not exactly one frame.
enum step_result grpc_judge_size(struct exchange *exchange, struct slice body);

// Adds the frame of a message.
void grpc_frame_write(struct strbuf *out, enum grpc_flags flags, struct slice message);
// Adds the frame of a response. False where it does not fit its contract.
bool grpc_response_write(struct exchange *exchange, struct slice response, struct strbuf *out);
// Takes the next frame of the client's stream. The caller empties exchange.in once it has used the frame.
enum read_result grpc_next_frame(struct exchange *exchange, struct slice *bytes, bool is_last, struct slice *frame);
// protocol.read of a stream of frames.
enum read_result grpc_read_message(struct exchange *exchange, struct slice *bytes, bool is_last, struct slice *message);
// Completes the head of a reply, whose HTTP status is 200 in any case.
void grpc_finish_head(struct exchange *exchange, const char *content_type);

// How a failed call is told, in the order of the protocol. The texts lie in the exchange's arena.
#define GRPC_FAILURE_FIELDS 3
void grpc_failure_fields(struct exchange *exchange, const struct problem *problem, uint32_t retry_after_ms,
                         struct exchange_header fields[GRPC_FAILURE_FIELDS]);

#endif
