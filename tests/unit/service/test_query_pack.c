// Rows packed from the cells of a result: the same bytes as of the messages that the rows are read into.
#include <criterion/criterion.h>
#include <string.h>

#include "common/base/random.h"
#include "common/service/proto_memory_internal.h"
#include "common/service/query_pack_internal.h"
#include "google/protobuf/timestamp.pb-c.h"

static struct arena arena;

static void setup(void)
{
  arena_init(&arena);
}

static void teardown(void)
{
  arena_free(&arena);
}

TestSuite(query_pack, .init = setup, .fini = teardown);

// A message with a field of every kind that a column may have, as protoc-c would declare it. The second half of the
// fields is optional.
struct message {
  ProtobufCMessage base;
  char *text;
  int32_t int32;
  int64_t int64;
  protobuf_c_boolean flag;
  double real;
  ProtobufCBinaryData bytes;
  Google__Protobuf__Timestamp *time;
  int32_t sint32;
  int64_t sint64;
  int32_t sfixed32;
  int64_t sfixed64;
  size_t n_texts;
  char **texts;
  int maybe_text_case, maybe_int32_case, maybe_flag_case, maybe_real_case, maybe_bytes_case, maybe_sint64_case;
  char *maybe_text;
  int32_t maybe_int32;
  protobuf_c_boolean maybe_flag;
  double maybe_real;
  ProtobufCBinaryData maybe_bytes;
  int64_t maybe_sint64;
};

#define PLAIN(field, number, kind)                                                                                     \
  {                                                                                                                    \
#field, number, PROTOBUF_C_LABEL_NONE, PROTOBUF_C_TYPE_##kind, 0, offsetof(struct message, field), NULL, NULL, 0,  \
        0, NULL, NULL                                                                                                  \
  }
#define MAYBE(field, number, kind)                                                                                     \
  {                                                                                                                    \
#field, number, PROTOBUF_C_LABEL_NONE, PROTOBUF_C_TYPE_##kind, offsetof(struct message, field##_case),             \
        offsetof(struct message, field), NULL, NULL, PROTOBUF_C_FIELD_FLAG_ONEOF, 0, NULL, NULL                        \
  }

static const ProtobufCFieldDescriptor fields[] = {
    PLAIN(text, 1, STRING),
    PLAIN(int32, 2, INT32),
    PLAIN(int64, 3, INT64),
    PLAIN(flag, 4, BOOL),
    PLAIN(real, 5, DOUBLE),
    PLAIN(bytes, 6, BYTES),
    {"time", 7, PROTOBUF_C_LABEL_NONE, PROTOBUF_C_TYPE_MESSAGE, 0, offsetof(struct message, time),
     &google__protobuf__timestamp__descriptor, NULL, 0, 0, NULL, NULL},
    PLAIN(sint32, 8, SINT32),
    PLAIN(sint64, 9, SINT64),
    PLAIN(sfixed32, 10, SFIXED32),
    PLAIN(sfixed64, 11, SFIXED64),
    MAYBE(maybe_text, 12, STRING),
    MAYBE(maybe_int32, 13, INT32),
    MAYBE(maybe_flag, 14, BOOL),
    MAYBE(maybe_real, 15, DOUBLE),
    MAYBE(maybe_bytes, 16, BYTES),
    MAYBE(maybe_sint64, 17, SINT64),
    {"texts", 3000, PROTOBUF_C_LABEL_REPEATED, PROTOBUF_C_TYPE_STRING, offsetof(struct message, n_texts),
     offsetof(struct message, texts), NULL, NULL, 0, 0, NULL, NULL},
};

static void init_message(ProtobufCMessage *base);

static const ProtobufCMessageDescriptor descriptor = {.magic = PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC,
                                                      .sizeof_message = sizeof(struct message),
                                                      .n_fields = ARRAY_LEN(fields),
                                                      .fields = fields,
                                                      .message_init = init_message};

static void init_message(ProtobufCMessage *base)
{
  struct message *message = (struct message *)(void *)base;
  static char empty[] = "";
  *message = (struct message){.base = {.descriptor = &descriptor}, .text = empty, .maybe_text = empty};
}

// ---- the query ----

#define COLUMN(field, a_number, a_kind)                                                                                \
  .kind = QUERY_##a_kind, .nullable = true, .number = (a_number), .offset = offsetof(struct message, field)
#define OPTIONAL(field) .presence = offsetof(struct message, field##_case)

static const struct query_column columns[] = {
    {COLUMN(texts, 3000, FIELD_TEXTS), .extra = offsetof(struct message, n_texts)},
    {COLUMN(text, 1, FIELD_TEXT)},
    {COLUMN(int32, 2, FIELD_INT32)},
    {COLUMN(int64, 3, INT64)},
    {COLUMN(flag, 4, FIELD_BOOL)},
    {COLUMN(real, 5, DOUBLE)},
    {COLUMN(bytes, 6, FIELD_BYTES)},
    {COLUMN(time, 7, FIELD_TIME)},
    {COLUMN(sint32, 8, FIELD_INT32), .encoding = QUERY_ZIGZAG},
    {COLUMN(sint64, 9, INT64), .encoding = QUERY_ZIGZAG},
    {COLUMN(sfixed32, 10, FIELD_INT32), .encoding = QUERY_FIXED},
    {COLUMN(sfixed64, 11, INT64), .encoding = QUERY_FIXED},
    {COLUMN(maybe_int32, 13, FIELD_INT32), OPTIONAL(maybe_int32)},
    {COLUMN(maybe_text, 12, TEXT), OPTIONAL(maybe_text)},
    {COLUMN(maybe_flag, 14, FIELD_BOOL), OPTIONAL(maybe_flag)},
    {COLUMN(maybe_real, 15, DOUBLE), OPTIONAL(maybe_real)},
    {COLUMN(maybe_bytes, 16, FIELD_BYTES), OPTIONAL(maybe_bytes)},
    {COLUMN(maybe_sint64, 17, INT64), .encoding = QUERY_ZIGZAG, OPTIONAL(maybe_sint64)},
};
static const uint16_t field_order[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 12, 14, 15, 16, 17, 0};
static const struct query query = {.statement = {.name = "test"},
                                   .columns = columns,
                                   .column_count = ARRAY_LEN(columns),
                                   .row_size = sizeof(struct message),
                                   .message = &descriptor,
                                   .field_order = field_order};

// ---- cells ----

static const char *const texts[] = {"", "lamp", "L\xc3\xa4mp", "\"quoted\" \\ \n", "12.50", "x"};
static const char *const ints[] = {"0", "1", "-1", "127", "128", "300", "-300", "2147483647", "-2147483648"};
static const char *const bigs[] = {"0", "-1", "9223372036854775807", "-9223372036854775808", "4294967296"};
static const char *const bools[] = {"t", "f"};
static const char *const reals[] = {"0", "-0", "1.5", "-2.25e-300", "NaN", "Infinity", "-Infinity"};
static const char *const blobs[] = {"\\x", "\\x00", "\\x00ff10", "\\xdeadbeef"};
static const char *const times[] = {"1970-01-01 00:00:00+00",        "1970-01-01 00:00:00.000001+00",
                                    "1969-12-31 23:59:59.999999+00", "2023-11-14 22:13:20.123456+00",
                                    "2023-11-14 22:13:20.5+00",      "9999-12-31 23:59:59.999999+00",
                                    "0001-01-01 00:00:00+00",        "2024-02-29 12:00:00+05:30"};
static const char *const arrays[] = {"{}", "{a}", "{a,b,\"c d\"}", "{\"\"}", "{\"a\\\"b\",\"NULL\",\"\\\\\"}"};

static const char *choose_text(const struct query_column *column)
{
#define ONE_OF(pool) (pool)[random_below(ARRAY_LEN(pool))]
  switch (column->kind) {
  case QUERY_FIELD_INT32:
    return ONE_OF(ints);
  case QUERY_INT64:
    return random_below(2) == 0 ? ONE_OF(ints) : ONE_OF(bigs);
  case QUERY_FIELD_BOOL:
    return ONE_OF(bools);
  case QUERY_DOUBLE:
    return ONE_OF(reals);
  case QUERY_FIELD_BYTES:
    return ONE_OF(blobs);
  case QUERY_FIELD_TIME:
    return ONE_OF(times);
  case QUERY_FIELD_TEXTS:
    return ONE_OF(arrays);
  default:
    return ONE_OF(texts);
  }
}

// One text in five is NULL, and one in fifty is longer than what a length of one byte can say.
static struct slice choose_cell(const struct query_column *column)
{
  if (random_below(5) == 0)
    return (struct slice){0};
  if (column->kind == QUERY_FIELD_TEXT && random_below(50) == 0)
    return slice_from_string(arena_printf(&arena, "%0*d", 20000, 7));
  return slice_from_string(choose_text(column));
}

Test(query_pack, a_row_gives_the_bytes_of_its_message)
{
  enum { ROWS = 500 };
  struct slice *cells = arena_array(&arena, ROWS * ARRAY_LEN(columns), sizeof(*cells));
  for (size_t i = 0; i < ROWS * ARRAY_LEN(columns); i++)
    cells[i] = choose_cell(&columns[i % ARRAY_LEN(columns)]);
  const struct pg_result result = {.rows = ROWS, .columns = ARRAY_LEN(columns), .cells = cells};
  const struct query_packer packer = {.query = &query, .result = &result, .arena = &arena};
  struct query_rows rows;
  cr_assert_eq(query_read_rows(&query, &result, &arena, &rows), STATUS_OK);
  for (size_t row = 0; row < ROWS; row++) {
    struct strbuf *out = query_pack_buffer(&packer);
    cr_assert_eq(query_pack_row(&packer, row, out), STATUS_OK);
    cr_assert(slice_equal(strbuf_slice(out), proto_pack_arena(((ProtobufCMessage **)rows.rows)[row], &arena)),
              "row %zu: other bytes than protobuf-c's", row);
  }
}

Test(query_pack, a_row_of_nulls_is_an_empty_message)
{
  const struct slice cells[ARRAY_LEN(columns)] = {0};
  const struct pg_result result = {.rows = 1, .columns = ARRAY_LEN(columns), .cells = cells};
  struct slice wire;
  cr_assert_eq(query_pack_first(&query, &result, &arena, &wire), STATUS_OK);
  cr_expect_eq(wire.size, 0);
}

Test(query_pack, no_row_is_not_found)
{
  const struct pg_result result = {.columns = ARRAY_LEN(columns)};
  struct slice wire;
  cr_expect_eq(query_pack_first(&query, &result, &arena, &wire), STATUS_NOT_FOUND);
}

Test(query_pack, a_cell_that_does_not_fit_its_field_is_an_internal_error)
{
  static const struct {
    size_t column;
    const char *text;
  } cases[] = {{2, "2147483648"}, {3, "lamp"}, {4, "true"}, {5, "1.5x"}, {6, "00"}, {7, "infinity"}, {0, "{a,NULL}"}};
  for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
    struct slice cells[ARRAY_LEN(columns)] = {0};
    cells[cases[i].column] = slice_from_string(cases[i].text);
    const struct pg_result result = {.rows = 1, .columns = ARRAY_LEN(columns), .cells = cells};
    struct slice wire;
    cr_expect_eq(query_pack_first(&query, &result, &arena, &wire), STATUS_INTERNAL, "%s", cases[i].text);
  }
}

Test(query_pack, a_null_where_the_query_allows_none_is_an_internal_error)
{
  static const struct query_column strict[] = {{.kind = QUERY_FIELD_TEXT, .number = 1}};
  static const uint16_t first[] = {0};
  static const struct query strict_query = {
      .statement = {.name = "strict"}, .columns = strict, .column_count = 1, .field_order = first};
  const struct slice null = {0};
  const struct pg_result result = {.rows = 1, .columns = 1, .cells = &null};
  struct slice wire;
  cr_expect_eq(query_pack_first(&strict_query, &result, &arena, &wire), STATUS_INTERNAL);
}
