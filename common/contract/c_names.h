// The C identifiers of things in contracts: those of protoc-c 1.4, which must be met exactly, and the suite's own.
//
// All strings live in the arena. Full names come without a leading dot: "item.v1.GetItemRequest".
#ifndef BULKHEAD_CONTRACT_C_NAMES_H
#define BULKHEAD_CONTRACT_C_NAMES_H

#include <stdbool.h>

#include "common/base/arena.h"

// Returns the name of protoc-c's struct: "Item__V1__GetItemRequest".
const char *c_name_struct(struct arena *arena, const char *full_name);
// Returns protoc-c's prefix of a message's functions and descriptor: "item__v1__get_item_request".
const char *c_name_lower(struct arena *arena, const char *full_name);
// Returns the name of protoc-c's member for a field: "display_name", or "delete_" for a keyword of C++.
const char *c_name_field(struct arena *arena, const char *field);
// Whether a struct of protoc-c compiles with a field of this name. Some do not: "base" is protoc-c's own member,
// "linux" a macro of the compiler.
bool c_name_field_compiles(const char *name);
// Returns the prefix of the suite's own generated names: "item_v1_get_item_request".
const char *c_name_own(struct arena *arena, const char *full_name);
// Returns a method's member in the struct of handlers, also the end of the client function's name: "get_item".
const char *c_name_member(struct arena *arena, const char *method);
// Whether the name is a keyword of C, so that no member can have it.
bool c_name_is_keyword(const char *name);
// Returns a file's name without its ending: "item/v1/item" of "item/v1/item.proto".
const char *c_name_stem(struct arena *arena, const char *proto_file);
// Returns the include guard of a generated header: "BULKHEAD_GEN_ITEM_V1_ITEM_BH_H".
const char *c_name_guard(struct arena *arena, const char *stem);

#endif
