// Any bytes as a packet: what is read writes and reads back the same.
#include <stdint.h>

#include "common/base/check.h"
#include "common/rpc/packet_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct strbuf encode(const struct rpc_frame *frame)
{
  struct strbuf body;
  strbuf_init(&body, 0);
  rpc_frame_append_body(&body, frame);
  return body;
}

// Compares frames by their bytes, because there is only one way to write a frame.
static void check_round_trip(const struct rpc_frame *frame, struct arena *arena)
{
  struct strbuf first = encode(frame);
  struct strbuf packed;
  strbuf_init(&packed, 0);
  rpc_frame_append(&packed, frame);
  CHECK(packed.size == rpc_frame_packed_size(frame));
  struct rpc_frame again;
  // An empty buffer has no address, and an empty frame needs none.
  struct slice bytes = first.size == 0 ? SLICE("") : strbuf_slice(&first);
  CHECK(rpc_frame_decode(bytes, arena, &again));
  struct strbuf second = encode(&again);
  CHECK(slice_equal(strbuf_slice(&first), strbuf_slice(&second)));
  CHECK(slice_equal(again.context.access_token, frame->context.access_token));
  CHECK(again.status.violation_count == frame->status.violation_count);
  CHECK(slice_equal(again.payload, frame->payload));
  strbuf_free(&first);
  strbuf_free(&second);
  strbuf_free(&packed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  struct rpc_packet_reader reader = rpc_packet_reader_make(slice_make(data, size));
  struct arena arena = {0};
  struct slice bytes;
  while (rpc_packet_next(&reader, &bytes) == WIRE_FIELD) {
    struct rpc_frame frame;
    if (!rpc_frame_decode(bytes, &arena, &frame))
      continue;
    CHECK(frame.status.violation_count <= RPC_MAX_VIOLATIONS);
    check_round_trip(&frame, &arena);
  }
  arena_free(&arena);
  return 0;
}
