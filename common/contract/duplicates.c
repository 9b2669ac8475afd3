// Finds values that repeat, without quadratic work on lists that a client chose: a few are compared with each other,
// many are sorted.
#include "common/contract/duplicates.h"

#include <stdlib.h>

#define FEW 16

struct numbered {
  struct slice item;
  size_t index;
};

static int compare_numbered(const void *a, const void *b)
{
  const struct numbered *left = a;
  const struct numbered *right = b;
  if (left->item.size != right->item.size)
    return left->item.size < right->item.size ? -1 : 1;
  int order = left->item.size == 0 ? 0 : memcmp(left->item.data, right->item.data, left->item.size);
  if (order != 0)
    return order;
  return left->index < right->index ? -1 : left->index > right->index;
}

static size_t find_among_few(const struct slice *items, size_t count)
{
  for (size_t i = 1; i < count; i++)
    for (size_t j = 0; j < i; j++)
      if (slice_equal(items[i], items[j]))
        return i;
  return count;
}

size_t find_duplicate(const struct slice *items, size_t count, struct arena *arena)
{
  if (count <= FEW)
    return find_among_few(items, count);
  struct numbered *sorted = arena_array(arena, count, sizeof(*sorted));
  for (size_t i = 0; i < count; i++)
    sorted[i] = (struct numbered){.item = items[i], .index = i};
  qsort(sorted, count, sizeof(*sorted), compare_numbered);
  size_t found = count;
  for (size_t i = 1; i < count; i++)
    if (slice_equal(sorted[i].item, sorted[i - 1].item) && sorted[i].index < found)
      found = sorted[i].index;
  return found;
}
