// The files of a FileDescriptorSet, found by what they declare: what a reflection service answers with. Files are given
// as the bytes that stand in the set, so nothing of them is lost, options included.
#ifndef BULKHEAD_CONTRACT_DESCRIPTOR_SET_H
#define BULKHEAD_CONTRACT_DESCRIPTOR_SET_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/compiler.h"
#include "common/base/slice.h"
#include "common/base/status.h"

struct descriptor_set;

struct descriptor_file {
  struct slice name;   // "item/v1/item.proto"
  struct slice bytes;  // a serialized FileDescriptorProto
  const struct descriptor_file *const *imports;
  size_t import_count;
  size_t index;  // its place in the set, below descriptor_set_count
};

// Reads a serialized FileDescriptorSet, which must outlive *out. INVALID_ARGUMENT and *out NULL where it is malformed,
// declares a file or symbol twice, or lacks a file that another imports. The caller frees *out with
// descriptor_set_free.
enum status descriptor_set_create(struct slice bytes, struct descriptor_set **out) MUST_CHECK;
// Frees the set; nulls the pointer and accepts NULL in it.
void descriptor_set_free(struct descriptor_set **set);

size_t descriptor_set_count(const struct descriptor_set *set);
// Finds a file by its path. NULL where the set has none, as in all that follow.
const struct descriptor_file *descriptor_set_file(const struct descriptor_set *set, struct slice name);
// Finds the file that declares a service, method, message, enum or extension, by its full name:
// "item.v1.ItemService.GetItem".
const struct descriptor_file *descriptor_set_symbol(const struct descriptor_set *set, struct slice full_name);
// Finds the file that declares the extension of a message ("google.protobuf.MethodOptions") with this number.
const struct descriptor_file *descriptor_set_extension(const struct descriptor_set *set, struct slice extended,
                                                       int32_t number);
// Gives the numbers of all extensions of a message to `numbers`, which has room for `max`, and returns how many there
// are.
size_t descriptor_set_extension_numbers(const struct descriptor_set *set, struct slice extended, int32_t *numbers,
                                        size_t max);

#endif
