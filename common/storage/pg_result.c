// Rows in the caller's arena: the cells point into libpq's result, which is freed with the arena.
#include <string.h>

#include "common/base/check.h"
#include "common/storage/pg_internal.h"

static void free_kept(void *result)
{
  PQclear(result);
}

static struct slice read_kept(const PGresult *kept, size_t row, size_t column)
{
  size_t size = (size_t)PQgetlength(kept, (int)row, (int)column);
  if (size == 0 && PQgetisnull(kept, (int)row, (int)column))
    return (struct slice){0};
  return slice_make(PQgetvalue(kept, (int)row, (int)column), size);
}

void pg_result_keep(struct pg_result *result, struct arena *arena, PGresult **from)
{
  PGresult *kept = *from;
  *result = (struct pg_result){.rows = (size_t)PQntuples(kept), .columns = (size_t)PQnfields(kept)};
  (void)slice_to_int64(slice_from_string(PQcmdTuples(kept)), 0, INT64_MAX, &result->affected);
  if (result->rows * result->columns == 0)
    return;
  *from = NULL;
  arena_on_free(arena, free_kept, kept);
  struct slice *cell = arena_array(arena, result->rows * result->columns, sizeof(*cell));
  result->cells = cell;
  for (size_t row = 0; row < result->rows; row++)
    for (size_t column = 0; column < result->columns; column++)
      *cell++ = read_kept(kept, row, column);
}

void pg_result_copy_row(struct pg_result *result, struct arena *arena, const struct pg_result *from, size_t row,
                        size_t columns)
{
  CHECK(row < from->rows && columns <= from->columns);
  const struct slice *source = &from->cells[row * from->columns];
  size_t bytes_size = 0;
  for (size_t i = 0; i < columns; i++)
    bytes_size += source[i].size + 1;
  struct slice *cells = arena_alloc(arena, columns * sizeof(*cells) + bytes_size);
  char *bytes = (char *)(cells + columns);
  for (size_t i = 0; i < columns; i++) {
    cells[i] = (struct slice){0};
    if (source[i].data == NULL)
      continue;
    memcpy(bytes, source[i].data, source[i].size + 1);
    cells[i] = slice_make(bytes, source[i].size);
    bytes += source[i].size + 1;
  }
  *result = (struct pg_result){.rows = 1, .columns = columns, .cells = cells};
}

void pg_result_fill_error(struct pg_result *result, struct arena *arena, const PGresult *from)
{
  const char *sqlstate = PQresultErrorField(from, PG_DIAG_SQLSTATE);
  const char *constraint = PQresultErrorField(from, PG_DIAG_CONSTRAINT_NAME);
  *result = (struct pg_result){0};
  if (sqlstate != NULL)
    result->sqlstate = arena_copy(arena, slice_from_string(sqlstate));
  if (constraint != NULL)
    result->constraint = arena_copy(arena, slice_from_string(constraint));
}

struct slice pg_slice(const struct pg_result *result, size_t row, size_t column)
{
  CHECK(row < result->rows && column < result->columns);
  return result->cells[row * result->columns + column];
}

bool pg_is_null(const struct pg_result *result, size_t row, size_t column)
{
  return pg_slice(result, row, column).data == NULL;
}

int64_t pg_int(const struct pg_result *result, size_t row, size_t column)
{
  int64_t value = 0;
  CHECK(slice_to_int64(pg_slice(result, row, column), INT64_MIN, INT64_MAX, &value));
  return value;
}

// Reads one item of an array literal from `*at` on: writes it without quotes and terminated to `*out`, and moves `*at`
// and `*out` behind it. False when the literal is malformed.
static bool read_item(struct slice text, size_t *at, char **out, bool *is_null)
{
  char *write = *out;
  bool quoted = *at < text.size && text.data[*at] == '"';
  size_t i = *at + (quoted ? 1 : 0);
  for (; i < text.size; i++) {
    char byte = text.data[i];
    if (quoted ? byte == '"' : byte == ',' || byte == '}')
      break;
    if (!quoted && (byte == '{' || byte == '"'))
      return false;
    if (byte == '\\' && ++i >= text.size)
      return false;
    *write++ = text.data[i];
  }
  if (i >= text.size)
    return false;
  size_t size = (size_t)(write - *out);
  *is_null = !quoted && slice_equal(slice_make(*out, size), SLICE("NULL"));
  if (!quoted && size == 0)
    return false;
  *write++ = '\0';
  *out = write;
  *at = i + (quoted ? 1 : 0);
  return true;
}

// Parses what PostgreSQL's array_out writes for one dimension: {a,"b c",NULL}. More dimensions and bounds are refused.
enum status pg_text_array(const struct pg_result *result, size_t row, size_t column, struct arena *arena, char ***items,
                          size_t *count)
{
  struct slice text = pg_slice(result, row, column);
  *items = NULL;
  *count = 0;
  if (text.data == NULL || slice_equal(text, SLICE("{}")))
    return STATUS_OK;
  if (text.size < 3 || text.data[0] != '{')
    return STATUS_INTERNAL;

  // An item takes at least one byte and a comma or brace, and is never longer than its literal.
  char **found = arena_array(arena, text.size / 2 + 1, sizeof(*found));
  char *bytes = arena_alloc(arena, text.size);
  size_t n = 0;
  size_t at = 1;
  for (;;) {
    char *item = bytes;
    bool is_null = false;
    if (!read_item(text, &at, &bytes, &is_null) || at >= text.size)
      return STATUS_INTERNAL;
    found[n++] = is_null ? NULL : item;
    char next = text.data[at++];
    if (next == '}')
      break;
    if (next != ',')
      return STATUS_INTERNAL;
  }
  if (at != text.size)
    return STATUS_INTERNAL;
  *items = found;
  *count = n;
  return STATUS_OK;
}
