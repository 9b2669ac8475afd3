#include "common/service/query_pack_internal.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/wire.h"
#include "common/service/query_cell_internal.h"

// What a field takes beside its text, mostly: a tag and a size, or a tag and a number.
#define FIELD_HEAD 4

// ---- numbers ----

// A field with presence is written whatever its value, every other one only where it is not empty.
static bool is_written(const struct query_column *column, bool empty)
{
  return column->presence != 0 || !empty;
}

static void pack_number(const struct query_column *column, int64_t value, struct strbuf *out)
{
  uint32_t number = (uint32_t)column->number;
  if (!is_written(column, value == 0))
    return;
  switch (column->encoding) {
  case QUERY_VARINT:
    wire_write_varint(out, number, (uint64_t)value);
    return;
  case QUERY_ZIGZAG:
    wire_write_varint(out, number, wire_zigzag(value));
    return;
  case QUERY_FIXED:
    if (column->kind == QUERY_FIELD_INT32)
      wire_write_fixed32(out, number, (uint32_t)value);
    else
      wire_write_fixed64(out, number, (uint64_t)value);
    return;
  }
}

static bool pack_int(const struct query_column *column, struct slice cell, struct strbuf *out)
{
  bool small = column->kind == QUERY_FIELD_INT32;
  int64_t value;
  if (!slice_to_int64(cell, small ? INT32_MIN : INT64_MIN, small ? INT32_MAX : INT64_MAX, &value))
    return false;
  pack_number(column, value, out);
  return true;
}

static bool pack_bool(const struct query_column *column, struct slice cell, struct strbuf *out)
{
  bool value;
  if (!query_cell_bool(cell, &value))
    return false;
  if (is_written(column, !value))
    wire_write_varint(out, (uint32_t)column->number, value);
  return true;
}

static bool pack_double(const struct query_column *column, struct slice cell, struct strbuf *out)
{
  double value;
  uint64_t bits;
  if (!query_cell_double(cell, &value))
    return false;
  memcpy(&bits, &value, sizeof(bits));
  // Negative zero is empty, too, as it is to protobuf-c.
  bool empty = (bits & ~(UINT64_C(1) << 63)) == 0;
  if (is_written(column, empty))
    wire_write_fixed64(out, (uint32_t)column->number, bits);
  return true;
}

// ---- texts, bytes and times ----

static void pack_text(const struct query_column *column, struct slice text, struct strbuf *out)
{
  if (is_written(column, text.size == 0))
    wire_write_bytes(out, (uint32_t)column->number, text);
}

static bool pack_bytes(const struct query_column *column, struct slice cell, struct arena *arena, struct strbuf *out)
{
  struct slice bytes;
  if (!query_cell_bytes(cell, arena, &bytes))
    return false;
  pack_text(column, bytes, out);
  return true;
}

static bool pack_texts(const struct query_packer *packer, struct query_place place, struct strbuf *out)
{
  char **items;
  size_t count;
  if (!query_cell_texts(packer->result, place, packer->arena, &items, &count))
    return false;
  for (size_t i = 0; i < count; i++)
    wire_write_bytes(out, (uint32_t)packer->query->columns[place.column].number, slice_from_string(items[i]));
  return true;
}

static bool pack_time(const struct query_column *column, struct slice cell, struct strbuf *out)
{
  enum { SECONDS = 1, NANOS = 2, MICROS_PER_SECOND = 1000000 };
  int64_t micros;
  if (!query_parse_time(cell, &micros))
    return false;
  int64_t below = (micros % MICROS_PER_SECOND + MICROS_PER_SECOND) % MICROS_PER_SECOND;
  int64_t seconds = (micros - below) / MICROS_PER_SECOND;
  size_t mark = wire_begin_nested(out, (uint32_t)column->number);
  if (seconds != 0)
    wire_write_varint(out, SECONDS, (uint64_t)seconds);
  if (below != 0)
    wire_write_varint(out, NANOS, (uint64_t)below * 1000);
  wire_end_nested(out, mark);
  return true;
}

// ---- rows ----

static bool pack_cell(const struct query_packer *packer, struct query_place place, struct strbuf *out)
{
  const struct query_column *column = &packer->query->columns[place.column];
  struct slice cell = pg_slice(packer->result, place.row, place.column);
  if (cell.data == NULL)
    return column->nullable;
  switch (column->kind) {
  case QUERY_TEXT:
  case QUERY_FIELD_TEXT:
    pack_text(column, cell, out);
    return true;
  case QUERY_INT64:
  case QUERY_FIELD_INT32:
    return pack_int(column, cell, out);
  case QUERY_BOOL:
  case QUERY_FIELD_BOOL:
    return pack_bool(column, cell, out);
  case QUERY_DOUBLE:
    return pack_double(column, cell, out);
  case QUERY_BYTES:
  case QUERY_FIELD_BYTES:
    return pack_bytes(column, cell, packer->arena, out);
  case QUERY_FIELD_TIME:
    return pack_time(column, cell, out);
  case QUERY_FIELD_TEXTS:
    return pack_texts(packer, place, out);
  case QUERY_TEXTS:
  case QUERY_INT64S:
  case QUERY_MICROS:
    break;
  }
  return false;
}

enum status query_pack_row(const struct query_packer *packer, size_t row, struct strbuf *out)
{
  const struct query *query = packer->query;
  for (size_t i = 0; i < query->column_count; i++) {
    struct query_place place = {row, query->field_order[i]};
    if (!pack_cell(packer, place, out))
      return query_cell_refuse(query, place.column);
  }
  return STATUS_OK;
}

static void free_buffer(void *arg)
{
  strbuf_free(arg);
}

struct strbuf *query_pack_buffer(const struct query_packer *packer)
{
  size_t cells = packer->result->rows * packer->query->column_count;
  size_t size = cells * FIELD_HEAD;
  for (size_t i = 0; i < cells; i++)
    size += packer->result->cells[i].size;
  struct strbuf *out = arena_alloc(packer->arena, sizeof(*out));
  strbuf_init(out, 0);
  arena_on_free(packer->arena, free_buffer, out);
  (void)strbuf_reserve(out, size);
  return out;
}

enum status query_pack_first(const struct query *query, const struct pg_result *result, struct arena *arena,
                             struct slice *wire)
{
  CHECK(query->field_order != NULL);
  if (result->rows == 0)
    return STATUS_NOT_FOUND;
  const struct query_packer packer = {.query = query, .result = result, .arena = arena};
  struct strbuf *out = query_pack_buffer(&packer);
  enum status status = query_pack_row(&packer, 0, out);
  *wire = strbuf_slice(out);
  return status;
}
