// Frames that wait to leave for one peer, encoded and back to back, cut into packets when they leave.
//
// Frames are encoded here and copied once more into the nng message: the copy is small beside what nng takes for a
// message (thread hops), and it keeps the queue free of half-built messages when the peer is not ready.
#ifndef BULKHEAD_RPC_OUTBOX_INTERNAL_H
#define BULKHEAD_RPC_OUTBOX_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/slice.h"
#include "common/base/strbuf.h"
#include "common/rpc/packet_internal.h"

// A packet is cut here, so that one large batch does not hold up the replies behind it.
#define RPC_PACKET_BYTES ((size_t)256 * 1024)
// A larger frame leaves alone.
#define RPC_LARGE_FRAME_BYTES ((size_t)64 * 1024)
// So many frames, or bytes for a large one, leave at once: more in one packet would save little, and the other side can
// begin with them meanwhile.
#define RPC_FULL_FRAMES 32

// A zeroed outbox is a ready, empty one.
struct outbox {
  struct strbuf frames;
  size_t head;   // what lies before has left
  size_t count;  // of the frames that wait
};

struct outbox_packet {
  struct slice bytes;
  size_t frame_count;
};

void outbox_free(struct outbox *outbox);

void outbox_add(struct outbox *outbox, const struct rpc_frame *frame);
// See rpc_frame_append_with_timeout.
void outbox_add_with_timeout(struct outbox *outbox, struct slice body, uint32_t timeout_ms);

static inline size_t outbox_bytes(const struct outbox *outbox)
{
  return outbox->frames.size - outbox->head;
}

static inline bool outbox_is_full(const struct outbox *outbox)
{
  return outbox->count >= RPC_FULL_FRAMES || outbox_bytes(outbox) >= RPC_LARGE_FRAME_BYTES;
}

// The frames of the next packet, at least one; valid until the next change. The outbox must not be empty.
struct outbox_packet outbox_peek(const struct outbox *outbox);
// They have left.
void outbox_remove(struct outbox *outbox, struct outbox_packet packet);
// Everything is dropped.
void outbox_clear(struct outbox *outbox);

#endif
