// The C identifiers of things in contracts: those of protoc-c 1.4, which must be met exactly, and the suite's own.
//
// All strings live in the arena. Full names come without a leading dot: "item.v1.GetItemRequest".
#ifndef BULKHEAD_CONTRACT_C_NAMES_H
#define BULKHEAD_CONTRACT_C_NAMES_H

#include <stdbool.h>

#include "common/base/arena.h"

// protoc-c's struct: "Item__V1__GetItemRequest".
const char *c_name_struct(struct arena *arena, const char *full_name);
// protoc-c's prefix of functions and of the descriptor: "item__v1__get_item_request".
const char *c_name_lower(struct arena *arena, const char *full_name);
// protoc-c's member of a message struct: "display_name", "delete_" for a keyword.
const char *c_name_field(struct arena *arena, const char *field);
// Whether such a member compiles. protoc-c leaves some that do not: "base" is its own member, "linux" a macro.
bool c_name_field_compiles(const char *name);
// The suite's own: "item_v1_get_item_request".
const char *c_name_own(struct arena *arena, const char *full_name);
// The member of a handler struct and the end of a client function: "get_item".
const char *c_name_member(struct arena *arena, const char *method);
// Whether such a member does not compile.
bool c_name_is_keyword(const char *name);
// A file without its ending: "item/v1/item" of "item/v1/item.proto".
const char *c_name_stem(struct arena *arena, const char *proto_file);
// The guard of a generated header: "BULKHEAD_GEN_ITEM_V1_ITEM_BH_H".
const char *c_name_guard(struct arena *arena, const char *stem);

#endif
