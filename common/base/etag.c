#include "common/base/etag.h"

// Skips what may stand between two tags.
static struct slice skip_separators(struct slice list)
{
  while (list.size > 0 && (list.data[0] == ' ' || list.data[0] == '\t' || list.data[0] == ','))
    list = slice_skip(list, 1);
  return list;
}

static bool is_separated(struct slice rest)
{
  return rest.size == 0 || rest.data[0] == ',';
}

enum etag_result etag_next(struct slice *list, struct etag *tag)
{
  struct slice rest = skip_separators(*list);
  *list = rest;
  if (rest.size == 0)
    return ETAG_END;
  bool is_weak = slice_starts_with(rest, SLICE("W/"));
  if (is_weak)
    rest = slice_skip(rest, 2);
  if (rest.size == 0 || rest.data[0] != '"')
    return ETAG_MALFORMED;
  size_t close = slice_find(rest, '"', 1);
  if (close == rest.size)
    return ETAG_MALFORMED;
  *tag = (struct etag){.value = slice_make(rest.data + 1, close - 1), .is_weak = is_weak};
  *list = slice_trim(slice_skip(rest, close + 1));
  return is_separated(*list) ? ETAG_TAG : ETAG_MALFORMED;
}

bool etag_list_valid(struct slice list)
{
  struct etag tag;
  enum etag_result result = etag_next(&list, &tag);
  if (result != ETAG_TAG)
    return false;
  while (result == ETAG_TAG)
    result = etag_next(&list, &tag);
  return result == ETAG_END;
}

bool etag_list_has(struct slice list, struct slice value, enum etag_comparison comparison)
{
  struct etag tag;
  while (etag_next(&list, &tag) == ETAG_TAG)
    if (slice_equal(tag.value, value) && (comparison == ETAG_WEAK || !tag.is_weak))
      return true;
  return false;
}
