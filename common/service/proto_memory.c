#include "common/service/proto_memory_internal.h"

static void *allocate(void *arena, size_t size)
{
  return arena_alloc(arena, size);
}

static void release(void *arena, void *pointer)
{
  (void)arena;
  (void)pointer;
}

ProtobufCMessage *proto_unpack(const ProtobufCMessageDescriptor *descriptor, struct slice bytes, struct arena *arena)
{
  ProtobufCAllocator allocator = {.alloc = allocate, .free = release, .allocator_data = arena};
  // protobuf-c needs a pointer even for an empty payload, which is an empty message.
  const void *data = bytes.size == 0 ? "" : bytes.data;
  return protobuf_c_message_unpack(descriptor, &allocator, bytes.size, data);
}

ProtobufCMessage *proto_new(const ProtobufCMessageDescriptor *descriptor, struct arena *arena)
{
  ProtobufCMessage *message = arena_alloc(arena, descriptor->sizeof_message);
  protobuf_c_message_init(descriptor, message);
  return message;
}

void proto_pack(const ProtobufCMessage *message, struct strbuf *out)
{
  size_t size = protobuf_c_message_get_packed_size(message);
  char *place = strbuf_reserve(out, size);
  if (place != NULL)
    out->size += protobuf_c_message_pack(message, (uint8_t *)place);
}

struct slice proto_pack_arena(const ProtobufCMessage *message, struct arena *arena)
{
  size_t size = protobuf_c_message_get_packed_size(message);
  uint8_t *place = arena_alloc(arena, size);
  return slice_make(place, protobuf_c_message_pack(message, place));
}
