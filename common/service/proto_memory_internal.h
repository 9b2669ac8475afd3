// protobuf-c in an arena: what is unpacked lives as long as its request, and nothing is freed one by one.
#ifndef BULKHEAD_SERVICE_PROTO_MEMORY_INTERNAL_H
#define BULKHEAD_SERVICE_PROTO_MEMORY_INTERNAL_H

#include <protobuf-c/protobuf-c.h>

#include "common/base/arena.h"
#include "common/base/strbuf.h"

// NULL when the bytes are no message of this type.
ProtobufCMessage *proto_unpack(const ProtobufCMessageDescriptor *descriptor, struct slice bytes, struct arena *arena);
// An initialised, empty message.
ProtobufCMessage *proto_new(const ProtobufCMessageDescriptor *descriptor, struct arena *arena);
// Appends the packed message.
void proto_pack(const ProtobufCMessage *message, struct strbuf *out);
// Packed into the arena.
struct slice proto_pack_arena(const ProtobufCMessage *message, struct arena *arena);

#endif
