// Runs queries and reads their rows. The values of their parameters are in query_params.c.
#include "common/service/query.h"

#include <string.h>

#include "common/base/check.h"
#include "common/service/query_cell_internal.h"
#include "common/service/query_pack_internal.h"
#include "google/protobuf/timestamp.pb-c.h"

#define MICROS_PER_SECOND 1000000

struct query_db query_on(struct pg *pg)
{
  return (struct query_db){.pg = pg};
}

struct query_db query_in(struct pg_tx *tx)
{
  return (struct query_db){.tx = tx};
}

struct query_db query_failing(enum status status)
{
  CHECK(status != STATUS_OK);
  return (struct query_db){.failure = status};
}

// ---- values out ----

static bool read_timestamp(struct slice cell, struct arena *arena, void *place)
{
  int64_t micros;
  if (!query_parse_time(cell, &micros))
    return false;
  Google__Protobuf__Timestamp *time = arena_alloc(arena, sizeof(*time));
  google__protobuf__timestamp__init(time);
  int64_t below = (micros % MICROS_PER_SECOND + MICROS_PER_SECOND) % MICROS_PER_SECOND;
  time->seconds = (micros - below) / MICROS_PER_SECOND;
  time->nanos = (int32_t)below * 1000;
  *(Google__Protobuf__Timestamp **)place = time;
  return true;
}

static bool read_binary(struct slice cell, struct arena *arena, ProtobufCBinaryData *binary)
{
  struct slice bytes;
  if (!query_cell_bytes(cell, arena, &bytes))
    return false;
  *binary = (ProtobufCBinaryData){.len = bytes.size, .data = (uint8_t *)(uintptr_t)bytes.data};
  return true;
}

static bool read_field_bool(struct slice cell, protobuf_c_boolean *field)
{
  bool value;
  bool good = query_cell_bool(cell, &value);
  *field = value;
  return good;
}

static bool read_int32(struct slice cell, int32_t *field)
{
  int64_t value;
  bool good = slice_to_int64(cell, INT32_MIN, INT32_MAX, &value);
  *field = good ? (int32_t)value : 0;
  return good;
}

struct cell {
  const struct pg_result *result;
  size_t row;
  size_t column;
  struct arena *arena;
};

static bool read_texts(const struct cell *cell, const struct query_column *column, void *row)
{
  return query_cell_texts(cell->result, (struct query_place){cell->row, cell->column}, cell->arena,
                          (char ***)((char *)row + column->offset), (size_t *)((char *)row + column->extra));
}

static bool read_cell(const struct cell *cell, const struct query_column *column, void *row)
{
  struct slice text = pg_slice(cell->result, cell->row, cell->column);
  void *place = (char *)row + column->offset;
  switch (column->kind) {
  case QUERY_TEXT:
  case QUERY_FIELD_TEXT:
    *(const char **)place = text.data;
    return true;
  case QUERY_INT64:
    return slice_to_int64(text, INT64_MIN, INT64_MAX, place);
  case QUERY_FIELD_INT32:
    return read_int32(text, place);
  case QUERY_BOOL:
    return query_cell_bool(text, place);
  case QUERY_FIELD_BOOL:
    return read_field_bool(text, place);
  case QUERY_DOUBLE:
    return query_cell_double(text, place);
  case QUERY_MICROS:
    return query_parse_time(text, place);
  case QUERY_FIELD_TIME:
    return read_timestamp(text, cell->arena, place);
  case QUERY_BYTES:
    return query_cell_bytes(text, cell->arena, place);
  case QUERY_FIELD_BYTES:
    return read_binary(text, cell->arena, place);
  case QUERY_TEXTS:
  case QUERY_FIELD_TEXTS:
    return read_texts(cell, column, row);
  case QUERY_INT64S:
    break;
  }
  return false;
}

static bool has_flag(const struct query_column *column)
{
  return column->extra != 0 && column->kind != QUERY_TEXTS && column->kind != QUERY_FIELD_TEXTS;
}

// Reads the columns into an initialised message or struct. A NULL leaves the empty value that is there.
static enum status read_row(const struct query *query, struct cell cell, void *row)
{
  for (size_t i = 0; i < query->column_count; i++) {
    const struct query_column *column = &query->columns[i];
    cell.column = i;
    bool null = pg_is_null(cell.result, cell.row, i);
    bool good = null ? column->nullable : read_cell(&cell, column, row);
    if (!good)
      return query_cell_refuse(query, i);
    if (!null && has_flag(column))
      *(bool *)((char *)row + column->extra) = true;
    if (!null && column->presence != 0)
      *(int *)((char *)row + column->presence) = column->number;
  }
  return STATUS_OK;
}

static void init_row(const struct query *query, void *row)
{
  if (query->message != NULL)
    query->message->message_init(row);
  else
    memset(row, 0, query->row_size);
}

enum status query_read_rows(const struct query *query, const struct pg_result *result, struct arena *arena,
                            struct query_rows *rows)
{
  *rows = (struct query_rows){.count = result->rows};
  char *all = arena_array(arena, result->rows, query->row_size);
  void **pointers = arena_array(arena, result->rows, sizeof(*pointers));
  for (size_t i = 0; i < result->rows; i++) {
    pointers[i] = all + i * query->row_size;
    init_row(query, pointers[i]);
    enum status status = read_row(query, (struct cell){.result = result, .row = i, .arena = arena}, pointers[i]);
    if (status != STATUS_OK)
      return status;
  }
  rows->rows = query->message != NULL ? (void *)pointers : (void *)all;
  return STATUS_OK;
}

// ---- running ----

enum status query_run(struct query_db db, const struct pg_statement *statement, const struct pg_params *params,
                      struct arena *arena, struct pg_result *result)
{
  if (db.failure != STATUS_OK)
    return db.failure;
  return db.tx != NULL ? pg_tx_query(db.tx, statement, params, arena, result)
                       : pg_query(db.pg, statement, params, arena, result);
}

static enum status run_query(struct query_db db, const struct query *query, const void *params, struct arena *arena,
                             struct pg_result *result)
{
  struct pg_params values;
  pg_params_init(&values, arena);
  query_add_params(&values, query, params);
  return query_run(db, &query->statement, &values, arena, result);
}

static enum status read_one(const struct query *query, const struct pg_result *result, struct arena *arena, void *row)
{
  init_row(query, row);
  if (result->rows == 0)
    return STATUS_NOT_FOUND;
  return read_row(query, (struct cell){.result = result, .arena = arena}, row);
}

enum status query_one(struct query_db db, const struct query *query, const void *params, struct arena *arena, void *row)
{
  struct pg_result result;
  enum status status = run_query(db, query, params, arena, &result);
  return status == STATUS_OK ? read_one(query, &result, arena, row) : status;
}

// Runs a query of a key for this key alone. Its last column is the key's place, which no column of the row takes.
static enum status run_for_key(struct query_db db, const struct query *query, const char *key, struct arena *arena,
                               struct pg_result *result)
{
  struct pg_params keys;
  pg_params_init(&keys, arena);
  pg_add_text_array(&keys, &key, 1);
  return query_run(db, &query->statement, &keys, arena, result);
}

// Reads the cells of a row by its key, gathered where it runs by itself.
static enum status run_gathered(struct query_db db, const struct query *query, const char *key, struct arena *arena,
                                struct pg_result *result)
{
  return db.pg != NULL ? pg_query_row(db.pg, &query->statement, key, arena, result)
                       : run_for_key(db, query, key, arena, result);
}

enum status query_gathered(struct query_db db, const struct query *query, const char *key, struct arena *arena,
                           void *row)
{
  struct pg_result result;
  enum status status = run_gathered(db, query, key, arena, &result);
  return status == STATUS_OK ? read_one(query, &result, arena, row) : status;
}

// ---- changing ----

static void add_messages(const void *arg, struct pg_params *params, const void *const *items, size_t count)
{
  query_add_params(params, arg, &(struct query_messages){.messages = items, .count = count});
}

// Returns the row's key, which is the query's first parameter.
static const char *get_key(const struct query *query, const void *message)
{
  const char *field = (const char *)message + query->params[0].offset;
  return *(const char *const *)(const void *)field;
}

static enum status run_change(struct query_db db, const struct query *query, const void *message, struct arena *arena,
                              struct pg_result *result)
{
  if (!query->gathers_changes)
    return run_query(db, query, &message, arena, result);
  if (db.pg == NULL)
    return run_query(db, query, &(struct query_messages){.messages = &message, .count = 1}, arena, result);
  const struct pg_change change = {.statement = &query->statement,
                                   .key = get_key(query, message),
                                   .item = message,
                                   .add_params = add_messages,
                                   .arg = query};
  return pg_change_row(db.pg, &change, arena, result);
}

enum status query_change(struct query_db db, const struct query *query, const void *message, struct arena *arena,
                         void *row)
{
  struct pg_result result;
  enum status status = run_change(db, query, message, arena, &result);
  return status == STATUS_OK ? read_one(query, &result, arena, row) : status;
}

enum status query_change_packed(struct query_db db, const struct query *query, const void *message, struct arena *arena,
                                struct slice *wire)
{
  struct pg_result result;
  enum status status = run_change(db, query, message, arena, &result);
  return status == STATUS_OK ? query_pack_first(query, &result, arena, wire) : status;
}

// ---- packed rows and many rows ----

enum status query_gathered_packed(struct query_db db, const struct query *query, const char *key, struct arena *arena,
                                  struct slice *wire)
{
  struct pg_result result;
  enum status status = run_gathered(db, query, key, arena, &result);
  return status == STATUS_OK ? query_pack_first(query, &result, arena, wire) : status;
}

enum status query_many(struct query_db db, const struct query *query, const void *params, struct arena *arena,
                       struct query_rows *rows)
{
  struct pg_result result;
  enum status status = run_query(db, query, params, arena, &result);
  return status == STATUS_OK ? query_read_rows(query, &result, arena, rows) : status;
}

enum status query_exec(struct query_db db, const struct query *query, const void *params, struct arena *arena,
                       int64_t *affected)
{
  struct pg_result result;
  enum status status = run_query(db, query, params, arena, &result);
  if (affected != NULL)
    *affected = status == STATUS_OK ? result.affected : 0;
  return status;
}
