#include "common/contract/update_mask.h"

struct update_mask update_mask_make(const struct slice *paths, size_t count)
{
  for (size_t i = 0; i < count; i++)
    if (slice_equal_string(paths[i], "*"))
      return (struct update_mask){.kind = MASK_ALL};
  return (struct update_mask){.kind = MASK_PATHS, .paths = paths, .count = count};
}

// Returns the rest of `path` below the field `name`: NULL data where the path leads elsewhere, empty where it ends
// there.
static struct slice cut_path_to(struct slice path, struct slice name)
{
  if (!slice_starts_with(path, name))
    return (struct slice){0};
  if (path.size == name.size)
    return SLICE("");
  return path.data[name.size] == '.' ? slice_skip(path, name.size + 1) : (struct slice){0};
}

static struct update_mask enter_paths(const struct update_mask *mask, struct slice name, struct arena *arena)
{
  struct slice *below = NULL;
  size_t count = 0;
  for (size_t i = 0; i < mask->count; i++) {
    struct slice rest = cut_path_to(mask->paths[i], name);
    if (rest.data == NULL)
      continue;
    if (rest.size == 0)
      return (struct update_mask){.kind = MASK_ALL};
    if (below == NULL)
      below = arena_array(arena, mask->count, sizeof(*below));
    below[count++] = rest;
  }
  if (count == 0)
    return (struct update_mask){.kind = MASK_LEFT_OUT};
  return (struct update_mask){.kind = MASK_PATHS, .paths = below, .count = count};
}

struct update_mask update_mask_enter(const struct update_mask *mask, struct slice name, bool immutable,
                                     struct arena *arena)
{
  if (immutable && mask->kind != MASK_NONE)
    return (struct update_mask){.kind = MASK_LEFT_OUT};
  return mask->kind == MASK_PATHS ? enter_paths(mask, name, arena) : *mask;
}

bool update_mask_names(const struct update_mask *mask, struct slice name, bool given)
{
  if (mask->kind == MASK_GIVEN)
    return given;
  for (size_t i = 0; mask->kind == MASK_PATHS && i < mask->count; i++)
    if (cut_path_to(mask->paths[i], name).data != NULL)
      return true;
  return false;
}
