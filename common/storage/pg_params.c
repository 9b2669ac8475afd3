// The values of a statement's parameters, in PostgreSQL's text format (bytea in binary). Everything lives in the arena
// of the call; nothing waits.
#include <string.h>

#include "common/base/check.h"
#include "common/base/strbuf.h"
#include "common/storage/pg.h"

enum { OID_BYTEA = 17 };

void pg_params_init(struct pg_params *params, struct arena *arena)
{
  params->count = 0;
  params->arena = arena;
}

static void add_value(struct pg_params *params, const char *value, size_t length, bool binary)
{
  CHECK(params->count < PG_MAX_PARAMS);
  CHECK(length <= INT32_MAX);
  size_t i = params->count++;
  params->values[i] = value;
  params->lengths[i] = (int)length;
  params->formats[i] = binary ? 1 : 0;
  params->types[i] = binary ? OID_BYTEA : 0;
}

void pg_add_text(struct pg_params *params, const char *text)
{
  add_value(params, text, text == NULL ? 0 : strlen(text), false);
}

void pg_add_slice(struct pg_params *params, struct slice text)
{
  if (text.data == NULL) {
    add_value(params, NULL, 0, false);
    return;
  }
  CHECK(memchr(text.data, '\0', text.size) == NULL);
  add_value(params, arena_string(params->arena, text), text.size, false);
}

void pg_add_int(struct pg_params *params, int64_t value)
{
  char digits[24];
  char *p = digits + sizeof(digits);
  *--p = '\0';
  uint64_t left = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
  do
    *--p = (char)('0' + left % 10);
  while ((left /= 10) != 0);
  if (value < 0)
    *--p = '-';
  size_t length = (size_t)(digits + sizeof(digits) - 1 - p);
  char *copy = arena_alloc(params->arena, length + 1);
  memcpy(copy, p, length + 1);
  add_value(params, copy, length, false);
}

void pg_add_bool(struct pg_params *params, bool value)
{
  add_value(params, value ? "t" : "f", 1, false);
}

void pg_add_bytes(struct pg_params *params, struct slice bytes)
{
  add_value(params, bytes.data, bytes.size, true);
}

// Adds an item to an array literal (https://www.postgresql.org/docs/15/arrays.html#ARRAYS-IO). Every item is quoted, so
// that none can be taken for NULL or for structure.
static void add_array_item(struct strbuf *literal, const char *item)
{
  if (item == NULL) {
    strbuf_add(literal, SLICE("NULL"));
    return;
  }
  // The room is made once, because items of a batch are tens of kilobytes of text.
  char *to = strbuf_reserve(literal, 2 * strlen(item) + 2);
  if (to == NULL)
    return;
  char *begin = to;
  *to++ = '"';
  for (; *item != '\0'; item++) {
    if (*item == '"' || *item == '\\')
      *to++ = '\\';
    *to++ = *item;
  }
  *to++ = '"';
  literal->size += (size_t)(to - begin);
}

static void add_literal(struct pg_params *params, struct strbuf *literal)
{
  strbuf_add_byte(literal, '}');
  add_value(params, arena_string(params->arena, strbuf_slice(literal)), literal->size, false);
  strbuf_free(literal);
}

void pg_add_text_array(struct pg_params *params, const char *const *items, size_t count)
{
  struct strbuf literal;
  strbuf_init(&literal, 0);
  strbuf_add_byte(&literal, '{');
  for (size_t i = 0; i < count; i++) {
    if (i > 0)
      strbuf_add_byte(&literal, ',');
    add_array_item(&literal, items[i]);
  }
  add_literal(params, &literal);
}

void pg_add_int_array(struct pg_params *params, const int64_t *items, size_t count)
{
  struct strbuf literal;
  strbuf_init(&literal, 0);
  strbuf_add_byte(&literal, '{');
  for (size_t i = 0; i < count; i++) {
    if (i > 0)
      strbuf_add_byte(&literal, ',');
    strbuf_add_int(&literal, items[i]);
  }
  add_literal(params, &literal);
}
