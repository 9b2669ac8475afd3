// One growing buffer, and the sizes of its frames in a ring. Sent bytes are cut off its front when that is cheap: when
// everything was sent, or when the sent part is the larger one. The bytes of dropped frames are closed up before the
// next packet, and when they outnumber the others: a stalled connection keeps nothing for calls that have ended.
#include "common/rpc/outbox_internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"

// An empty buffer that has grown beyond this is freed, and so is a ring.
#define KEEP_BYTES (4 * RPC_PACKET_BYTES)
#define KEEP_FRAMES 4096
#define FIRST_FRAMES 64

// ---- the ring ----

static struct outbox_frame *get_frame(const struct outbox *outbox, uint64_t number)
{
  return &outbox->ring[number & (outbox->ring_capacity - 1)];
}

static void grow_ring(struct outbox *outbox)
{
  struct outbox larger = *outbox;
  larger.ring_capacity = outbox->ring_capacity == 0 ? FIRST_FRAMES : 2 * outbox->ring_capacity;
  larger.ring = calloc(larger.ring_capacity, sizeof(*larger.ring));
  CHECK(larger.ring != NULL);
  for (uint64_t number = outbox->first; number != outbox->next; number++)
    *get_frame(&larger, number) = *get_frame(outbox, number);
  free(outbox->ring);
  *outbox = larger;
}

static void free_ring(struct outbox *outbox)
{
  free(outbox->ring);
  outbox->ring = NULL;
  outbox->ring_capacity = 0;
}

// ---- adding ----

// Notes the frame that was appended behind `size_before` bytes, and returns its number.
static uint64_t note_frame(struct outbox *outbox, size_t size_before, uint8_t owner)
{
  if (outbox->next - outbox->first == outbox->ring_capacity)
    grow_ring(outbox);
  uint32_t size = (uint32_t)(outbox->frames.size - size_before);
  *get_frame(outbox, outbox->next) = (struct outbox_frame){.size = size, .owner = owner};
  outbox->owned_bytes[owner] += size;
  return outbox->next++;
}

// Notes that the payload in a buffer belongs to the frame that was added last.
static void take_payload(struct outbox *outbox, struct strbuf *buffer)
{
  struct outbox_frame *frame = get_frame(outbox, outbox->next - 1);
  // What is held is what is counted: a buffer may have been made for much more than it got.
  char *data = buffer->capacity > buffer->size + buffer->size / 4 ? realloc(buffer->data, buffer->size) : buffer->data;
  CHECK(data != NULL);
  frame->payload = (struct outbox_payload){data, buffer->size};
  outbox->payload_bytes += buffer->size;
  outbox->owned_bytes[frame->owner] += buffer->size;
  strbuf_init(buffer, buffer->max_size);
}

// Notes that the payload of a frame is gone, and returns it.
static struct outbox_payload release_payload(struct outbox *outbox, struct outbox_frame *frame)
{
  struct outbox_payload payload = frame->payload;
  frame->payload = (struct outbox_payload){0};
  outbox->payload_bytes -= payload.size;
  outbox->owned_bytes[frame->owner] -= payload.size;
  return payload;
}

uint64_t outbox_add(struct outbox *outbox, const struct rpc_frame *frame, uint8_t owner)
{
  CHECK(owner <= OUTBOX_OWNERS);
  size_t before = outbox->frames.size;
  if (frame->buffer == NULL || frame->payload.size <= RPC_LARGE_FRAME_BYTES) {
    rpc_frame_append(&outbox->frames, frame);
    return note_frame(outbox, before, owner);
  }
  CHECK(frame->payload.data == frame->buffer->data && frame->payload.size == frame->buffer->size);
  rpc_frame_append_head(&outbox->frames, frame);
  uint64_t number = note_frame(outbox, before, owner);
  take_payload(outbox, frame->buffer);
  return number;
}

uint64_t outbox_add_with_timeout(struct outbox *outbox, struct slice body, uint32_t timeout_ms, uint64_t expires_at_us)
{
  size_t before = outbox->frames.size;
  rpc_frame_append_with_timeout(&outbox->frames, body, timeout_ms, expires_at_us);
  return note_frame(outbox, before, 0);
}

void outbox_add_hello(struct outbox *outbox, struct slice hello)
{
  size_t before = outbox->frames.size;
  rpc_hello_append(&outbox->frames, hello);
  (void)note_frame(outbox, before, 0);
}

// ---- dropping ----

void outbox_clear(struct outbox *outbox)
{
  for (uint64_t number = outbox->first; number != outbox->next && outbox->payload_bytes > 0; number++)
    free(release_payload(outbox, get_frame(outbox, number)).data);
  outbox->head = 0;
  outbox->first = outbox->next;
  outbox->dropped_count = 0;
  outbox->dropped_bytes = 0;
  memset(outbox->owned_bytes, 0, sizeof(outbox->owned_bytes));
  strbuf_clear(&outbox->frames);
  if (outbox->frames.capacity > KEEP_BYTES)
    strbuf_free(&outbox->frames);
  if (outbox->ring_capacity > KEEP_FRAMES)
    free_ring(outbox);
}

void outbox_free(struct outbox *outbox)
{
  outbox_clear(outbox);
  strbuf_free(&outbox->frames);
  free_ring(outbox);
}

// Forgets the dropped frames at the front. Their bytes count as sent.
static void pop_dropped(struct outbox *outbox)
{
  while (outbox->first != outbox->next && get_frame(outbox, outbox->first)->dropped) {
    size_t size = get_frame(outbox, outbox->first++)->size;
    outbox->head += size;
    outbox->dropped_bytes -= size;
    outbox->dropped_count--;
  }
}

// Closes the gaps that dropped frames have left.
static void close_gaps(struct outbox *outbox)
{
  size_t from = outbox->head, to = 0;
  for (uint64_t number = outbox->first; number != outbox->next; number++) {
    struct outbox_frame *frame = get_frame(outbox, number);
    size_t size = frame->size;
    if (frame->dropped)
      frame->size = 0;
    else if (size > 0)
      memmove(outbox->frames.data + to, outbox->frames.data + from, size);
    to += frame->size;
    from += size;
  }
  strbuf_truncate(&outbox->frames, to);
  outbox->head = 0;
  outbox->dropped_bytes = 0;
}

bool outbox_drop(struct outbox *outbox, uint64_t number)
{
  if (number < outbox->first || number >= outbox->next)
    return false;
  struct outbox_frame *frame = get_frame(outbox, number);
  if (frame->dropped)
    return true;
  frame->dropped = true;
  free(release_payload(outbox, frame).data);
  outbox->dropped_count++;
  outbox->dropped_bytes += frame->size;
  outbox->owned_bytes[frame->owner] -= frame->size;
  pop_dropped(outbox);
  if (outbox_count(outbox) == 0)
    outbox_clear(outbox);
  else if (outbox->dropped_bytes > outbox_bytes(outbox))
    close_gaps(outbox);
  return true;
}

// ---- leaving ----

struct outbox_packet outbox_peek(struct outbox *outbox)
{
  CHECK(outbox_count(outbox) > 0);
  if (outbox->dropped_bytes > 0)
    close_gaps(outbox);
  struct outbox_packet packet = {.bytes.data = outbox->frames.data + outbox->head};
  size_t max_bytes = outbox->max_packet_bytes == 0 ? RPC_PACKET_BYTES : outbox->max_packet_bytes;
  for (uint64_t number = outbox->first; number != outbox->next; number++) {
    const struct outbox_frame *frame = get_frame(outbox, number);
    if (frame->dropped)
      continue;
    bool alone = frame->size > RPC_LARGE_FRAME_BYTES || frame->payload.data != NULL;
    if (packet.frame_count > 0 && (alone || packet.bytes.size + frame->size > max_bytes))
      break;
    packet.bytes.size += frame->size;
    packet.payload = frame->payload;
    packet.frame_count++;
    if (alone)
      break;
  }
  return packet;
}

// Cuts the sent bytes off the front where that is cheap.
static void cut_front(struct outbox *outbox)
{
  size_t left = outbox->frames.size - outbox->head;
  if (outbox->head <= left)
    return;
  memmove(outbox->frames.data, outbox->frames.data + outbox->head, left);
  strbuf_truncate(&outbox->frames, left);
  outbox->head = 0;
}

void outbox_remove(struct outbox *outbox, struct outbox_packet packet)
{
  outbox->head += packet.bytes.size;
  for (size_t left = packet.frame_count; left > 0; outbox->first++) {
    struct outbox_frame *frame = get_frame(outbox, outbox->first);
    if (frame->dropped) {
      outbox->dropped_count--;
      continue;
    }
    (void)release_payload(outbox, frame);
    outbox->owned_bytes[frame->owner] -= frame->size;
    left--;
  }
  CHECK(outbox->head <= outbox->frames.size);
  if (outbox_count(outbox) == 0)
    outbox_clear(outbox);
  else
    cut_front(outbox);
}
