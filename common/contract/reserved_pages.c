#include "common/contract/reserved_pages_internal.h"

#include "common/base/compiler.h"

static const struct reserved_page PAGES[] = {
    {"/.crowd", false},       {"/.problem", false}, {"/healthz", false},
    {"/openapi.json", false}, {"/docs", true},      {"/account", true},
};

const struct reserved_page *reserved_pages(size_t *count)
{
  *count = ARRAY_LEN(PAGES);
  return PAGES;
}

// Returns what each path of the template begins with: its literals up to the first wildcard. `is_whole` tells whether
// that is the path as such.
static struct slice fixed_part(const struct path_template *path, struct arena *arena, bool *is_whole)
{
  const char *text = "";
  size_t i = 0;
  for (; i < path->segment_count && path->segments[i].kind == SEGMENT_LITERAL; i++)
    text = arena_printf(arena, "%s/" SLICE_FMT, text, SLICE_ARG(path->segments[i].literal));
  *is_whole = i == path->segment_count;
  if (*is_whole && path->verb.data != NULL)
    text = arena_printf(arena, "%s:" SLICE_FMT, text, SLICE_ARG(path->verb));
  return slice_from_string(text);
}

const char *find_hiding_page(const struct contract *contract, const struct path_template *path, struct arena *arena)
{
  bool is_whole;
  struct slice fixed = fixed_part(path, arena, &is_whole);
  for (size_t i = 0; i < ARRAY_LEN(PAGES); i++) {
    struct slice page = slice_from_string(PAGES[i].path);
    if (PAGES[i].is_prefix ? slice_starts_with(fixed, page) : is_whole && slice_equal(fixed, page))
      return arena_printf(arena, "the gateway itself serves %s%s, so this route would never be reached",
                          PAGES[i].is_prefix ? "every path that begins with " : "", PAGES[i].path);
  }
  const struct contract_method *method =
      is_whole && fixed.size > 0 ? contract_method_by_name(contract, slice_skip(fixed, 1)) : NULL;
  if (method == NULL || method->policy.access == ACCESS_INTERNAL)
    return NULL;
  return arena_printf(
      arena, "requests of this path are calls of " SLICE_FMT " by Connect, so this route would never be reached",
      SLICE_ARG(method->full_name));
}
