// One growing buffer. Sent bytes are cut off its front when that is cheap: when everything was sent, or when the sent
// part is the larger one.
#include "common/rpc/outbox_internal.h"

#include "common/base/check.h"
#include "common/base/wire.h"

// An empty buffer that has grown beyond this is freed.
#define KEEP_BYTES (4 * RPC_PACKET_BYTES)

void outbox_free(struct outbox *outbox)
{
  strbuf_free(&outbox->frames);
  outbox->head = 0;
  outbox->count = 0;
}

void outbox_clear(struct outbox *outbox)
{
  outbox->head = 0;
  outbox->count = 0;
  strbuf_clear(&outbox->frames);
  if (outbox->frames.capacity > KEEP_BYTES)
    strbuf_free(&outbox->frames);
}

void outbox_add(struct outbox *outbox, const struct rpc_frame *frame)
{
  outbox->count++;
  rpc_frame_append(&outbox->frames, frame);
}

void outbox_add_with_timeout(struct outbox *outbox, struct slice body, uint32_t timeout_ms)
{
  outbox->count++;
  rpc_frame_append_with_timeout(&outbox->frames, body, timeout_ms);
}

// Returns the size of the frame at the front of `frames`, tag and length included.
static size_t measure_frame(struct slice frames)
{
  struct wire_reader reader = wire_reader_make(frames);
  struct wire_field field;
  CHECK(wire_read(&reader, &field) == WIRE_FIELD);
  return (size_t)(reader.next - (const uint8_t *)frames.data);
}

struct outbox_packet outbox_peek(const struct outbox *outbox)
{
  struct slice left = slice_skip(strbuf_slice(&outbox->frames), outbox->head);
  CHECK(left.size > 0);
  size_t size = measure_frame(left);
  size_t count = 1;
  bool alone = size > RPC_LARGE_FRAME_BYTES;
  while (!alone && size < left.size) {
    size_t next = measure_frame(slice_skip(left, size));
    if (next > RPC_LARGE_FRAME_BYTES || size + next > RPC_PACKET_BYTES)
      break;
    size += next;
    count++;
  }
  return (struct outbox_packet){.bytes = {.data = left.data, .size = size}, .frame_count = count};
}

void outbox_remove(struct outbox *outbox, struct outbox_packet packet)
{
  outbox->head += packet.bytes.size;
  outbox->count -= packet.frame_count;
  CHECK(outbox->head <= outbox->frames.size);
  size_t left = outbox_bytes(outbox);
  if (left == 0) {
    outbox_clear(outbox);
  } else if (outbox->head > left) {
    memmove(outbox->frames.data, outbox->frames.data + outbox->head, left);
    strbuf_truncate(&outbox->frames, left);
    outbox->head = 0;
  }
}
