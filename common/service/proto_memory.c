#include "common/service/proto_memory_internal.h"

#include "common/base/wire.h"
#include "common/contract/rules.h"

static void *allocate(void *arena, size_t size)
{
  return arena_alloc(arena, size);
}

static void release(void *arena, void *pointer)
{
  (void)arena;
  (void)pointer;
}

// How deep messages without end are looked for. Types that nest less deep need no look at the bytes.
#define SHALLOW 4u

static bool holds_messages(const ProtobufCFieldDescriptor *field)
{
  return field->type == PROTOBUF_C_TYPE_MESSAGE;
}

// Whether values of the type can nest deeper than `depth` messages.
static bool can_nest(const ProtobufCMessageDescriptor *descriptor, unsigned depth)
{
  for (unsigned i = 0; i < descriptor->n_fields; i++)
    if (holds_messages(&descriptor->fields[i]) && (depth == 0 || can_nest(descriptor->fields[i].descriptor, depth - 1)))
      return true;
  return false;
}

// Whether more than `depth` messages lie inside each other in the bytes, or these cannot be read.
static bool nests_deeper(const ProtobufCMessageDescriptor *descriptor, struct slice bytes, unsigned depth)
{
  struct wire_reader reader = wire_reader_make(bytes);
  struct wire_field value;
  enum wire_result result;
  while ((result = wire_read(&reader, &value)) == WIRE_FIELD) {
    const ProtobufCFieldDescriptor *field =
        value.type == WIRE_BYTES ? protobuf_c_message_descriptor_get_field(descriptor, value.number) : NULL;
    if (field != NULL && holds_messages(field) &&
        (depth == 0 || nests_deeper(field->descriptor, value.bytes, depth - 1)))
      return true;
  }
  return result != WIRE_END;
}

ProtobufCMessage *proto_unpack(const ProtobufCMessageDescriptor *descriptor, struct slice bytes, struct arena *arena)
{
  ProtobufCAllocator allocator = {.alloc = allocate, .free = release, .allocator_data = arena};
  // protobuf-c needs a pointer even for an empty payload, which is an empty message.
  const void *data = bytes.size == 0 ? "" : bytes.data;
  // protobuf-c unpacks as deep as the bytes say, and a task's stack ends.
  if (can_nest(descriptor, SHALLOW) && nests_deeper(descriptor, bytes, CONTRACT_MAX_DEPTH))
    return NULL;
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
