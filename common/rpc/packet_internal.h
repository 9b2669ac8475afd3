// Packets and frames as bytes: proto/bulkhead/rpc/v1/packet.proto, read and written without message structs.
//
// A Packet is a row of frames with a tail: a cumulative ack (the field `received`) and a server's clock (`sent_at_us`).
// Protobuf merges concatenated messages, so a batch is built by appending frames one by one. Decoded slices point into
// the packet; only the arrays of a frame are in the arena.
#ifndef BULKHEAD_RPC_PACKET_INTERNAL_H
#define BULKHEAD_RPC_PACKET_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/slice.h"
#include "common/base/strbuf.h"
#include "common/base/wire.h"
#include "common/rpc/rpc.h"

// The bound of the list in a frame: one with more elements is malformed.
#define RPC_MAX_VIOLATIONS 64
// The largest packet of a program that has not proven its name: a hello fits.
#define RPC_UNPROVEN_PACKET_BYTES ((size_t)8 * 1024)

// The reason of a GOAWAY that ends the connection only, and not the server.
#define RPC_RECONNECT "RECONNECT"

// The most bytes behind the frames of a packet: two tags and varints.
#define RPC_TAIL_MAX_BYTES 22

// The kinds of frames, as FrameKind in packet.proto numbers them.
enum rpc_frame_kind {
  RPC_FRAME_REQUEST = 1,
  RPC_FRAME_RESPONSE = 2,
  RPC_FRAME_MESSAGE = 3,
  RPC_FRAME_HALF_CLOSE = 4,
  RPC_FRAME_CANCEL = 5,
  RPC_FRAME_CREDIT = 6,
  RPC_FRAME_GOAWAY = 7,
};

struct rpc_frame {
  uint64_t call_id;
  uint32_t kind;  // an rpc_frame_kind, or any other number in a received frame
  uint32_t timeout_ms;
  uint64_t expires_at_us;  // on the server's clock; 0 when the client does not know it
  uint32_t credit;         // in bytes; a request with 0 opens no stream
  struct slice method;
  struct slice payload;
  struct strbuf *buffer;  // of a frame to send: holds `payload`, and whoever queues the frame may take its memory over
  bool has_context;
  bool has_status;
  struct rpc_context context;
  struct rpc_status status;
};

// Appends the frame as a field of a Packet: tag, length, frame.
void rpc_frame_append(struct strbuf *packet, const struct rpc_frame *frame);
// Appends what stands before the payload of a frame, the payload's tag and length included. Nothing may stand behind
// it.
void rpc_frame_append_head(struct strbuf *packet, const struct rpc_frame *frame);
// Appends the frame alone, without tag and length.
void rpc_frame_append_body(struct strbuf *out, const struct rpc_frame *frame);
// Appends a frame as a field of a Packet: a body from rpc_frame_append_body with its time limits behind it.
void rpc_frame_append_with_timeout(struct strbuf *packet, struct slice body, uint32_t timeout_ms,
                                   uint64_t expires_at_us);
// Appends a hello as a field of a Packet.
void rpc_hello_append(struct strbuf *packet, struct slice hello);
// Returns how many bytes rpc_frame_append would append.
size_t rpc_frame_packed_size(const struct rpc_frame *frame);
// Writes what stands behind the frames of a packet to `out` and returns its size: an ack of `received` packets, and the
// time of sending unless it is 0.
size_t rpc_tail_write(uint64_t received, uint64_t sent_at_us, uint8_t out[RPC_TAIL_MAX_BYTES]);

// Decodes a frame. False when the bytes are not protobuf, hold text that is not UTF-8, or too many violations.
bool rpc_frame_decode(struct slice bytes, struct arena *arena, struct rpc_frame *out) MUST_CHECK;

struct rpc_packet_reader {
  struct wire_reader wire;
  // What stands behind the frames, complete once the packet's end is reached; 0 when it is not there.
  uint64_t acked;
  uint64_t sent_at_us;
  // The hello of the packet, known once its first frame was read or its end is reached, because a hello leaves before
  // all frames; empty where there is none.
  struct slice hello;
};

struct rpc_packet_reader rpc_packet_reader_make(struct slice packet);
// Reads the next frame of the packet. WIRE_FIELD: `frame` holds its bytes. WIRE_END: there are no more. WIRE_MALFORMED
// also for a second hello.
enum wire_result rpc_packet_next(struct rpc_packet_reader *reader, struct slice *frame) MUST_CHECK;

#endif
