// Packs and unpacks protobuf-c messages in an arena: an unpacked message lives as long as the arena of its request.
#ifndef BULKHEAD_SERVICE_PROTO_MEMORY_INTERNAL_H
#define BULKHEAD_SERVICE_PROTO_MEMORY_INTERNAL_H

#include <protobuf-c/protobuf-c.h>

#include "common/base/arena.h"
#include "common/base/strbuf.h"

// Unpacks a message; NULL if the bytes are not a message of this type, or nest deeper than CONTRACT_MAX_DEPTH.
ProtobufCMessage *proto_unpack(const ProtobufCMessageDescriptor *descriptor, struct slice bytes, struct arena *arena);
// Makes an initialised, empty message.
ProtobufCMessage *proto_new(const ProtobufCMessageDescriptor *descriptor, struct arena *arena);
// Appends the packed message.
void proto_pack(const ProtobufCMessage *message, struct strbuf *out);
// Packs a message into the arena.
struct slice proto_pack_arena(const ProtobufCMessage *message, struct arena *arena);

#endif
