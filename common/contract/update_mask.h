// The mask of an update: which fields of a message it writes (AIP-134), as far as rules depend on it: a field that the
// mask leaves out keeps its stored value, so nothing is asked of it. An update is a request message with a singular
// google.protobuf.FieldMask named update_mask and, beside it, a singular message field of a type of its own; the mask's
// paths start in the first such field (by number).
#ifndef BULKHEAD_CONTRACT_UPDATE_MASK_H
#define BULKHEAD_CONTRACT_UPDATE_MASK_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/arena.h"
#include "common/base/slice.h"

#define UPDATE_MASK_FIELD "update_mask"

enum mask_kind {
  MASK_NONE,      // not part of an update: every field is checked against its rules
  MASK_ALL,       // an update of every field that is not immutable
  MASK_GIVEN,     // an update of the fields that the JSON gives, whichever those are
  MASK_PATHS,     // an update of the fields that `paths` lead to
  MASK_LEFT_OUT,  // a field that the update does not write
};

struct update_mask {
  enum mask_kind kind;
  const struct slice *paths;  // MASK_PATHS: original names below the message at hand, such as "owner.display_name"
  size_t count;
};

// Makes the mask of an update from the paths of its FieldMask, which must outlive it. "*" means MASK_ALL.
struct update_mask update_mask_make(const struct slice *paths, size_t count);

// Returns what `mask` means for the field `name` (its original name) and the message below it. An update never writes
// an immutable field. The paths of the result live in `arena`.
struct update_mask update_mask_enter(const struct update_mask *mask, struct slice name, bool immutable,
                                     struct arena *arena);

// Whether the update names the field `name`, or something below it, so that it is the client's mistake where the field
// is immutable. MASK_ALL names nothing. For MASK_GIVEN, `given` says whether the JSON has the field.
bool update_mask_names(const struct update_mask *mask, struct slice name, bool given);

// The violation of an update that names an immutable field.
#define UPDATE_MASK_IMMUTABLE "cannot be changed by an update; leave it out"

#endif
