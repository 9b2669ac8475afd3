// The frames that wait to be sent over one connection: encoded back to back, and cut into packets when they leave.
//
// Frames are encoded into the outbox and copied once more into the nng message. The copy costs little beside the thread
// switches that nng needs for a message, and no half-built message exists while the other side is not ready.
#ifndef BULKHEAD_RPC_OUTBOX_INTERNAL_H
#define BULKHEAD_RPC_OUTBOX_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/slice.h"
#include "common/base/strbuf.h"
#include "common/rpc/packet_internal.h"

// The most bytes of a packet with several frames, so that one large batch does not hold up the replies behind it.
#define RPC_PACKET_BYTES ((size_t)256 * 1024)
// A frame of more bytes leaves in a packet of its own.
#define RPC_LARGE_FRAME_BYTES ((size_t)64 * 1024)
// The frames that fill a packet (RPC_LARGE_FRAME_BYTES fill it, too). A full packet leaves at once: more frames would
// save little, and the other side can begin with these meanwhile.
#define RPC_FULL_FRAMES 32

// A zeroed outbox is ready and empty.
struct outbox {
  struct strbuf frames;
  size_t head;   // bytes at the front that were sent
  size_t count;  // frames that wait
};

struct outbox_packet {
  struct slice bytes;
  size_t frame_count;
};

void outbox_free(struct outbox *outbox);

void outbox_add(struct outbox *outbox, const struct rpc_frame *frame);
// Adds a frame that lacks only its timeout; see rpc_frame_append_with_timeout.
void outbox_add_with_timeout(struct outbox *outbox, struct slice body, uint32_t timeout_ms);

static inline size_t outbox_bytes(const struct outbox *outbox)
{
  return outbox->frames.size - outbox->head;
}

static inline bool outbox_is_full(const struct outbox *outbox)
{
  return outbox->count >= RPC_FULL_FRAMES || outbox_bytes(outbox) >= RPC_LARGE_FRAME_BYTES;
}

// Returns the frames of the next packet, at least one; valid until the outbox changes. It must not be empty.
struct outbox_packet outbox_peek(const struct outbox *outbox);
// Removes a packet from the front, after it was sent.
void outbox_remove(struct outbox *outbox, struct outbox_packet packet);
// Drops all frames that wait.
void outbox_clear(struct outbox *outbox);

#endif
