#include "common/service/query_cell_internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/observe/log.h"

#define MICROS_PER_SECOND 1000000

bool query_parse_time(struct slice text, int64_t *micros)
{
  // RFC 3339 demands a T between date and time, and minutes in the offset.
  char rfc[CLOCK_RFC3339_SIZE + 4];
  if (text.size < 22 || text.size + 4 > sizeof(rfc) || text.data[10] != ' ')
    return false;
  memcpy(rfc, text.data, text.size);
  rfc[10] = 'T';
  size_t size = text.size;
  if (rfc[size - 3] == '+' || rfc[size - 3] == '-') {
    memcpy(rfc + size, ":00", 3);
    size += 3;
  }
  int64_t seconds;
  int32_t nanos;
  if (!clock_parse_rfc3339(slice_make(rfc, size), &seconds, &nanos))
    return false;
  *micros = seconds * MICROS_PER_SECOND + nanos / 1000;
  return true;
}

static int hex_value(char digit)
{
  return digit >= '0' && digit <= '9' ? digit - '0' : digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

bool query_cell_bytes(struct slice cell, struct arena *arena, struct slice *bytes)
{
  if (cell.size % 2 != 0 || !slice_starts_with(cell, SLICE("\\x")))
    return false;
  size_t size = cell.size / 2 - 1;
  char *copy = arena_alloc(arena, size + 1);
  for (size_t i = 0; i < size; i++) {
    int high = hex_value(cell.data[2 * i + 2]), low = hex_value(cell.data[2 * i + 3]);
    if (high < 0 || low < 0)
      return false;
    copy[i] = (char)(high << 4 | low);
  }
  *bytes = slice_make(copy, size);
  return true;
}

bool query_cell_bool(struct slice cell, bool *value)
{
  *value = slice_equal(cell, SLICE("t"));
  return *value || slice_equal(cell, SLICE("f"));
}

bool query_cell_double(struct slice cell, double *value)
{
  char *end = NULL;
  *value = strtod(cell.data, &end);
  return end == cell.data + cell.size && cell.size > 0;
}

bool query_cell_texts(const struct pg_result *result, struct query_place place, struct arena *arena, char ***items,
                      size_t *count)
{
  if (pg_text_array(result, place.row, place.column, arena, items, count) != STATUS_OK)
    return false;
  for (size_t i = 0; i < *count; i++)
    if ((*items)[i] == NULL)
      return false;
  return true;
}

enum status query_cell_refuse(const struct query *query, size_t column)
{
  log_error("query",
            "could not read a row: a column holds another type or a NULL that its query does not allow; the call fails",
            LOG_STRING("query", query->statement.name), LOG_INT("column", (int64_t)column + 1));
  return STATUS_INTERNAL;
}
