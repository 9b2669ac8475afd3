// The C identifiers of things in contracts: those of protoc-c, which must be met exactly, and our own.
//
// All strings live in the arena. Full names come without a leading dot: "item.v1.GetItemRequest".
#ifndef BULKHEAD_PLUGIN_NAMES_H
#define BULKHEAD_PLUGIN_NAMES_H

#include <stdbool.h>

#include "common/base/arena.h"

// protoc-c's struct: "Item__V1__GetItemRequest".
const char *name_struct(struct arena *arena, const char *full_name);
// protoc-c's prefix of functions and of the descriptor: "item__v1__get_item_request".
const char *name_lower(struct arena *arena, const char *full_name);
// Ours: "item_v1_get_item_request".
const char *name_own(struct arena *arena, const char *full_name);
// The member of a handler struct and the end of a client function: "get_item".
const char *name_member(struct arena *arena, const char *method);
// Such a member does not compile; protoc-c uses it for its own service structs too.
bool name_is_keyword(const char *name);
// "item/v1/item" of "item/v1/item.proto".
const char *name_stem(struct arena *arena, const char *proto_file);
// The guard of a header: "BULKHEAD_GEN_ITEM_V1_ITEM_BH_H".
const char *name_guard(struct arena *arena, const char *stem);

#endif
