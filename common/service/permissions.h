// All permissions that the contracts of the build declare: what a role or an API key may be given.
#ifndef BULKHEAD_SERVICE_PERMISSIONS_H
#define BULKHEAD_SERVICE_PERMISSIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/arena.h"

struct permission {
  const char *name;  // "items:write", and "items:write:any" where a method has an ownership rule with it
  bool every_user;   // the role "user" holds it
};

// Lists them in the order of their names, in `arena`. A permission that no method needs is not among them.
void permissions_list(struct arena *arena, const struct permission **list, size_t *count);
// Finds one by its name. NULL where there is none.
const struct permission *permissions_find(const struct permission *list, size_t count, const char *name);

#endif
