// The frames that wait to be sent over one connection: encoded back to back, and cut into packets when they leave.
//
// Frames are encoded into the outbox and copied once more into the buffer of the stream. The copy costs little beside a
// write to a socket, and no half-built message exists while the connection has no room. A frame that nobody waits for
// any more can be dropped as long as it has not left.
//
// Megabytes are not copied: a large payload with a buffer of its own stays in it, and the buffer passes on with the
// packet. Such a frame leaves alone.
#ifndef BULKHEAD_RPC_OUTBOX_INTERNAL_H
#define BULKHEAD_RPC_OUTBOX_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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

// Frames may have an owner, from 1 to this, so that what waits for each of them is known. 0 stands for none.
#define OUTBOX_OWNERS 63

// A payload that is not copied. It was allocated by malloc.
struct outbox_payload {
  char *data;  // NULL for none
  size_t size;
};

// A frame in the outbox, and whether it was dropped. A dropped frame has no bytes once its place was used for others.
struct outbox_frame {
  struct outbox_payload payload;  // stands behind the bytes in `frames`
  uint32_t size;                  // of the bytes in `frames`, tag and length included
  uint8_t owner;
  bool dropped;
};

// A zeroed outbox is ready and empty. Frames are numbered in the order in which they were added.
struct outbox {
  struct strbuf frames;
  size_t max_packet_bytes;                // of a packet with several frames; 0: RPC_PACKET_BYTES
  size_t head;                            // bytes at the front that were sent
  struct outbox_frame *ring;              // the frame with the number n is ring[n % ring_capacity]
  size_t ring_capacity;                   // a power of two, or 0
  uint64_t first;                         // number of the frame at the front
  uint64_t next;                          // number of the next frame to be added
  size_t dropped_count;                   // dropped frames between `first` and `next`
  size_t dropped_bytes;                   // bytes that these still have in `frames`
  size_t payload_bytes;                   // of the payloads that are not in `frames`
  size_t owned_bytes[OUTBOX_OWNERS + 1];  // of the frames that wait, by owner
};

struct outbox_packet {
  struct slice bytes;
  struct outbox_payload payload;  // behind the bytes
  size_t frame_count;
};

void outbox_free(struct outbox *outbox);

// Adds a frame of `owner` and returns its number. The buffer of a large payload is taken over, and is empty then.
uint64_t outbox_add(struct outbox *outbox, const struct rpc_frame *frame, uint8_t owner);
// Adds a hello, which takes the place of a frame.
void outbox_add_hello(struct outbox *outbox, struct slice hello);
// Adds a frame that lacks only its time limits, and returns its number; see rpc_frame_append_with_timeout.
uint64_t outbox_add_with_timeout(struct outbox *outbox, struct slice body, uint32_t timeout_ms, uint64_t expires_at_us);
// Drops a frame that has not left, so that it never will; to be called once for a frame. False when it has left.
bool outbox_drop(struct outbox *outbox, uint64_t number);

// Returns how many frames wait.
static inline size_t outbox_count(const struct outbox *outbox)
{
  return (size_t)(outbox->next - outbox->first) - outbox->dropped_count;
}

// Returns how many bytes the frames that wait have.
static inline size_t outbox_bytes(const struct outbox *outbox)
{
  return outbox->frames.size - outbox->head - outbox->dropped_bytes + outbox->payload_bytes;
}

static inline bool outbox_is_full(const struct outbox *outbox)
{
  return outbox_count(outbox) >= RPC_FULL_FRAMES || outbox_bytes(outbox) >= RPC_LARGE_FRAME_BYTES;
}

// Returns the frames of the next packet, at least one; valid until the outbox changes. It must not be empty.
struct outbox_packet outbox_peek(struct outbox *outbox);
// Removes a packet from the front, after it was sent. Its payload belongs to whoever has sent it.
void outbox_remove(struct outbox *outbox, struct outbox_packet packet);
// Drops all frames that wait.
void outbox_clear(struct outbox *outbox);

#endif
