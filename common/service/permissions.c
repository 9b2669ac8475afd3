#include "common/service/permissions.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/contract/contract.h"
#include "common/service/reflection_internal.h"

static int compare_names(const void *a, const void *b)
{
  return strcmp(((const struct permission *)a)->name, ((const struct permission *)b)->name);
}

static size_t copy_permissions(const struct contract *contract, struct arena *arena, struct permission *list)
{
  size_t count = 0;
  for (size_t i = 0; i < contract_permission_count(contract); i++) {
    const struct contract_permission *declared = contract_permission(contract, i);
    if (declared->is_used)
      list[count++] = (struct permission){arena_string(arena, slice_from_string(declared->name)), declared->every_user};
    if (declared->is_any_used)
      list[count++] = (struct permission){arena_string(arena, slice_from_string(declared->any_name)), false};
  }
  return count;
}

void permissions_list(struct arena *arena, const struct permission **list, size_t *count)
{
  struct diagnostics diagnostics;
  struct contract *contract = NULL;
  diagnostics_init(&diagnostics);
  // The build has loaded the same contracts.
  CHECK(contract_load(service_descriptors, &contract, &diagnostics) == STATUS_OK);
  struct permission *permissions = arena_array(arena, 2 * contract_permission_count(contract), sizeof(*permissions));
  *count = copy_permissions(contract, arena, permissions);
  if (*count > 0)
    qsort(permissions, *count, sizeof(*permissions), compare_names);
  *list = permissions;
  contract_free(&contract);
  diagnostics_free(&diagnostics);
}

const struct permission *permissions_find(const struct permission *list, size_t count, const char *name)
{
  const struct permission wanted = {.name = name};
  return count == 0 ? NULL : bsearch(&wanted, list, count, sizeof(*list), compare_names);
}
