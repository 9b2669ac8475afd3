// Finds misspelt settings: a variable whose name is in no table would otherwise be ignored silently.
#include <string.h>
#include <unistd.h>

#include "common/base/compiler.h"
#include "common/config/settings.h"

enum {
  MAX_NAME = 64,     // longer names are not compared
  MIN_COMPARED = 6,  // shorter names are near to too many others
  MAX_DIFFERENCE = 2,
};

static size_t find_smallest(size_t a, size_t b, size_t c)
{
  size_t least = a < b ? a : b;
  return least < c ? least : c;
}

// Counts the letters that have to be added, removed or replaced to turn one name into the other (Levenshtein's
// distance).
static size_t count_differences(struct slice a, struct slice b)
{
  size_t row[MAX_NAME + 1];
  for (size_t k = 0; k <= b.size; k++)
    row[k] = k;
  for (size_t i = 1; i <= a.size; i++) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t k = 1; k <= b.size; k++) {
      size_t above = row[k];
      row[k] = find_smallest(above + 1, row[k - 1] + 1, diagonal + (a.data[i - 1] != b.data[k - 1]));
      diagonal = above;
    }
  }
  return row[b.size];
}

// Returns the name without _FILE, which every setting takes.
static struct slice strip_file_suffix(struct slice name)
{
  static const struct slice suffix = SLICE_INIT("_FILE");
  if (name.size > suffix.size && slice_equal(slice_skip(name, name.size - suffix.size), suffix))
    name.size -= suffix.size;
  return name;
}

struct nearest {
  const char *name;  // NULL: none is near
  size_t differences;
};

static struct nearest find_nearest(struct slice name, const struct setting_table *tables, size_t table_count)
{
  struct nearest nearest = {.differences = MAX_NAME};
  for (size_t t = 0; t < table_count; t++) {
    for (size_t i = 0; i < tables[t].count; i++) {
      struct slice known = slice_from_string(tables[t].settings[i].name);
      size_t differences = known.size > MAX_NAME ? MAX_NAME : count_differences(name, known);
      if (differences < nearest.differences)
        nearest = (struct nearest){.name = tables[t].settings[i].name, .differences = differences};
    }
  }
  return nearest;
}

static void judge_variable(struct slice variable, const char *prefix, const struct setting_table *tables,
                           size_t table_count, struct strbuf *out)
{
  struct slice name = strip_file_suffix(variable);
  if (name.size > MAX_NAME)
    return;
  struct nearest nearest = find_nearest(name, tables, table_count);
  if (nearest.differences == 0)
    return;
  bool is_near = nearest.differences <= MAX_DIFFERENCE && name.size >= MIN_COMPARED;
  if (!is_near && !slice_starts_with(name, slice_from_string(prefix)))
    return;
  strbuf_printf(out, SLICE_FMT " is not a setting and has no effect", SLICE_ARG(variable));
  if (is_near)
    strbuf_printf(out, "; %s%s may be meant", nearest.name, name.size < variable.size ? "_FILE" : "");
  strbuf_add_string(out, "; the command help lists all settings\n");
}

void settings_find_unknown(const char *prefix, const struct setting_table *tables, size_t table_count,
                           struct strbuf *out)
{
  for (char *const *variable = environ; *variable != NULL; variable++)
    judge_variable(slice_make(*variable, strcspn(*variable, "=")), prefix, tables, table_count, out);
}
