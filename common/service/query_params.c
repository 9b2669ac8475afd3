// The values of a query's parameters: from structs, from messages, and from arrays of messages.
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/service/query.h"
#include "google/protobuf/timestamp.pb-c.h"

#define MICROS_PER_SECOND 1000000

static const void *field_place(const void *base, size_t offset)
{
  return (const char *)base + offset;
}

static void add_time(struct pg_params *to, int64_t seconds, int32_t nanos)
{
  char text[CLOCK_RFC3339_SIZE];
  size_t size = clock_format_rfc3339(seconds, nanos, text);
  pg_add_slice(to, slice_make(text, size));
}

static void add_micros(struct pg_params *to, int64_t micros)
{
  int64_t below = (micros % MICROS_PER_SECOND + MICROS_PER_SECOND) % MICROS_PER_SECOND;
  add_time(to, (micros - below) / MICROS_PER_SECOND, (int32_t)below * 1000);
}

static void add_double(struct pg_params *to, double value)
{
  pg_add_text(to, arena_printf(to->arena, "%.17g", value));
}

static void add_timestamp(struct pg_params *to, const Google__Protobuf__Timestamp *time)
{
  if (time == NULL)
    pg_add_text(to, NULL);
  else
    add_time(to, time->seconds, time->nanos);
}

static void add_field_text(struct pg_params *to, const char *text, bool nullable)
{
  pg_add_text(to, nullable && text[0] == '\0' ? NULL : text);
}

static void add_binary(struct pg_params *to, const ProtobufCBinaryData *bytes, bool nullable)
{
  pg_add_bytes(to, nullable && bytes->len == 0 ? (struct slice){0} : slice_make(bytes->data, bytes->len));
}

// Adds a value. `place` points to the value, `count` to its number of items where it is an array.
static void add_value(struct pg_params *to, const struct query_param *param, const void *place, const void *count)
{
  switch (param->kind) {
  case QUERY_TEXT:
    pg_add_text(to, *(const char *const *)place);
    break;
  case QUERY_INT64:
    pg_add_int(to, *(const int64_t *)place);
    break;
  case QUERY_BOOL:
    pg_add_bool(to, *(const bool *)place);
    break;
  case QUERY_DOUBLE:
    add_double(to, *(const double *)place);
    break;
  case QUERY_MICROS:
    add_micros(to, *(const int64_t *)place);
    break;
  case QUERY_BYTES:
    pg_add_bytes(to, *(const struct slice *)place);
    break;
  case QUERY_TEXTS:
  case QUERY_FIELD_TEXTS:
    pg_add_text_array(to, *(const char *const *const *)place, *(const size_t *)count);
    break;
  case QUERY_INT64S:
    pg_add_int_array(to, *(const int64_t *const *)place, *(const size_t *)count);
    break;
  case QUERY_FIELD_TEXT:
    add_field_text(to, *(const char *const *)place, param->nullable);
    break;
  case QUERY_FIELD_INT32:
    pg_add_int(to, *(const int32_t *)place);
    break;
  case QUERY_FIELD_BOOL:
    pg_add_bool(to, *(const protobuf_c_boolean *)place != 0);
    break;
  case QUERY_FIELD_BYTES:
    add_binary(to, place, param->nullable);
    break;
  case QUERY_FIELD_TIME:
    add_timestamp(to, *(const Google__Protobuf__Timestamp *const *)place);
    break;
  }
}

static bool by_pointer(const struct query_param *param)
{
  return param->nullable && (param->kind == QUERY_INT64 || param->kind == QUERY_BOOL || param->kind == QUERY_DOUBLE ||
                             param->kind == QUERY_MICROS);
}

static void add_member(struct pg_params *to, const struct query_param *param, const void *params)
{
  const void *place = field_place(params, param->offset);
  if (by_pointer(param)) {
    place = *(const void *const *)place;
    if (place == NULL) {
      pg_add_text(to, NULL);
      return;
    }
  }
  add_value(to, param, place, field_place(params, param->count));
}

// ---- the values of many messages ----

// Makes PostgreSQL's text of a text[], such as {"a","b\"c"}. Each item is quoted, so only backslash and quote need an
// escape.
static const char *array_text(char *const *items, size_t count, struct arena *arena)
{
  size_t size = 3;
  for (size_t i = 0; i < count; i++)
    size += 2 * strlen(items[i]) + 3;
  char *text = arena_alloc(arena, size);
  char *next = text;
  *next++ = '{';
  for (size_t i = 0; i < count; i++) {
    if (i > 0)
      *next++ = ',';
    *next++ = '"';
    for (const char *c = items[i]; *c != '\0'; c++) {
      if (*c == '"' || *c == '\\')
        *next++ = '\\';
      *next++ = *c;
    }
    *next++ = '"';
  }
  *next++ = '}';
  *next = '\0';
  return text;
}

// True where the message lacks the optional field.
static bool is_absent(const struct query_param *param, const void *message)
{
  return param->presence != 0 && *(const int *)field_place(message, param->presence) == 0;
}

static bool is_number(const struct query_param *param)
{
  return param->kind == QUERY_FIELD_INT32 || param->kind == QUERY_INT64;
}

static int64_t number_of_each(const struct query_param *param, const void *message)
{
  const void *place = field_place(message, param->offset);
  return param->kind == QUERY_FIELD_INT32 ? *(const int32_t *)place : *(const int64_t *)place;
}

// Returns an item of the array as text; NULL for SQL NULL.
static const char *text_of_each(const struct query_param *param, const void *message, struct arena *arena)
{
  if (is_absent(param, message))
    return NULL;
  if (is_number(param))
    return arena_printf(arena, "%lld", (long long)number_of_each(param, message));
  const void *place = field_place(message, param->offset);
  if (param->kind == QUERY_FIELD_TEXTS)
    return array_text(*(char *const *const *)place, *(const size_t *)field_place(message, param->count), arena);
  const char *text = *(const char *const *)place;
  return param->kind == QUERY_FIELD_TEXT && param->nullable && text[0] == '\0' ? NULL : text;
}

static void add_numbers_of_each(struct pg_params *to, const struct query_param *param, const void *const *messages,
                                size_t count)
{
  int64_t *numbers = arena_array(to->arena, count, sizeof(*numbers));
  for (size_t i = 0; i < count; i++)
    numbers[i] = number_of_each(param, messages[i]);
  pg_add_int_array(to, numbers, count);
}

static void add_each(struct pg_params *to, const struct query_param *param, const void *params)
{
  const void *const *messages = *(const void *const *const *)field_place(params, param->holder);
  size_t count = *(const size_t *)field_place(params, param->holder_count);
  // An array of numbers has no NULL, so optional ones are written as texts, which PostgreSQL reads as the array's type.
  if (is_number(param) && param->presence == 0) {
    add_numbers_of_each(to, param, messages, count);
    return;
  }
  CHECK(is_number(param) || param->kind == QUERY_TEXT || param->kind == QUERY_FIELD_TEXT ||
        param->kind == QUERY_FIELD_TEXTS);
  const char **texts = arena_array(to->arena, count, sizeof(*texts));
  for (size_t i = 0; i < count; i++)
    texts[i] = text_of_each(param, messages[i], to->arena);
  pg_add_text_array(to, texts, count);
}

static void add_field(struct pg_params *to, const struct query_param *param, const void *message)
{
  if (is_absent(param, message))
    pg_add_text(to, NULL);
  else
    add_value(to, param, field_place(message, param->offset), field_place(message, param->count));
}

void query_add_params(struct pg_params *to, const struct query *query, const void *params)
{
  for (size_t i = 0; i < query->param_count; i++) {
    const struct query_param *param = &query->params[i];
    if (param->from == QUERY_FROM_MESSAGES) {
      add_each(to, param, params);
    } else if (param->from == QUERY_FROM_MESSAGE) {
      add_field(to, param, *(const void *const *)field_place(params, param->holder));
    } else {
      add_member(to, param, params);
    }
  }
}
