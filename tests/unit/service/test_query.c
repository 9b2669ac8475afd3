// Values between C and SQL: parameters from structs and messages, columns into them.
#include <criterion/criterion.h>
#include <string.h>

#include "common/service/query.h"
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

TestSuite(query, .init = setup, .fini = teardown);

// ---- times ----

Test(query, a_timestamptz_is_read_to_the_microsecond)
{
  static const struct {
    const char *text;
    int64_t micros;
  } cases[] = {
      {"1970-01-01 00:00:00+00", 0},
      {"1970-01-01 00:00:00.000001+00", 1},
      {"1969-12-31 23:59:59.999999+00", -1},
      {"2023-11-14 22:13:20.123456+00", INT64_C(1700000000123456)},
      {"2023-11-14 22:13:20.5+00", INT64_C(1700000000500000)},
      {"2023-11-15 00:13:20+02", INT64_C(1700000000000000)},
      {"2023-11-15 03:43:20+05:30", INT64_C(1700000000000000)},
      {"9999-12-31 23:59:59.999999+00", INT64_C(253402300799999999)},
      {"0001-01-01 00:00:00+00", INT64_C(-62135596800000000)},
  };
  for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
    int64_t micros = 42;
    cr_expect(query_parse_time(slice_from_string(cases[i].text), &micros), "%s", cases[i].text);
    cr_expect_eq(micros, cases[i].micros, "%s", cases[i].text);
  }
}

Test(query, a_time_that_no_client_could_read_is_refused)
{
  static const char *const wrong[] = {"",
                                      "infinity",
                                      "-infinity",
                                      "0044-03-15 00:00:00+00 BC",
                                      "10000-01-01 00:00:00+00",
                                      "2023-11-14",
                                      "14.11.2023 22:13:20 UTC",
                                      "2023-11-14 22:13:20"};
  for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
    int64_t micros;
    cr_expect_not(query_parse_time(slice_from_string(wrong[i]), &micros), "%s", wrong[i]);
  }
}

// ---- parameters ----

struct params {
  const char *text;
  int64_t number;
  const int64_t *maybe;
  bool flag;
  int64_t when;
  struct slice bytes;
  const char *const *texts;
  size_t texts_count;
  const Google__Protobuf__Timestamp *message;
  Google__Protobuf__Timestamp *const *messages;
  size_t messages_count;
};

static const struct query_param param_table[] = {
    {.kind = QUERY_TEXT, .nullable = true, .offset = offsetof(struct params, text)},
    {.kind = QUERY_INT64, .offset = offsetof(struct params, number)},
    {.kind = QUERY_INT64, .nullable = true, .offset = offsetof(struct params, maybe)},
    {.kind = QUERY_BOOL, .offset = offsetof(struct params, flag)},
    {.kind = QUERY_MICROS, .offset = offsetof(struct params, when)},
    {.kind = QUERY_BYTES, .offset = offsetof(struct params, bytes)},
    {.kind = QUERY_TEXTS, .offset = offsetof(struct params, texts), .count = offsetof(struct params, texts_count)},
    {.kind = QUERY_FIELD_INT32,
     .from = QUERY_FROM_MESSAGE,
     .holder = offsetof(struct params, message),
     .offset = offsetof(Google__Protobuf__Timestamp, nanos)},
    {.kind = QUERY_INT64,
     .from = QUERY_FROM_MESSAGES,
     .holder = offsetof(struct params, messages),
     .holder_count = offsetof(struct params, messages_count),
     .offset = offsetof(Google__Protobuf__Timestamp, seconds)},
};
static const struct query param_query = {.params = param_table, .param_count = ARRAY_LEN(param_table)};

static void add(struct pg_params *to, const struct params *params)
{
  pg_params_init(to, &arena);
  query_add_params(to, &param_query, params);
  cr_assert_eq(to->count, ARRAY_LEN(param_table));
}

Test(query, parameters_are_taken_from_structs_and_messages)
{
  Google__Protobuf__Timestamp first = GOOGLE__PROTOBUF__TIMESTAMP__INIT, second = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
  first.nanos = 7;
  first.seconds = -3;
  second.seconds = 5;
  const int64_t nine = 9;
  const struct params params = {
      .text = "lamp",
      .number = INT64_MIN,
      .maybe = &nine,
      .flag = true,
      .when = -1,
      .bytes = SLICE_INIT("a\0b"),
      .texts = (const char *const[]){"a", "b\"c"},
      .texts_count = 2,
      .message = &first,
      .messages = (Google__Protobuf__Timestamp *const[]){&first, &second},
      .messages_count = 2,
  };
  struct pg_params values;
  add(&values, &params);
  cr_expect_str_eq(values.values[0], "lamp");
  cr_expect_str_eq(values.values[1], "-9223372036854775808");
  cr_expect_str_eq(values.values[2], "9");
  cr_expect_str_eq(values.values[3], "t");
  cr_expect_str_eq(values.values[4], "1969-12-31T23:59:59.999999Z");
  cr_expect_eq(values.lengths[5], 3);
  cr_expect_str_eq(values.values[6], "{\"a\",\"b\\\"c\"}");
  cr_expect_str_eq(values.values[7], "7");
  cr_expect_str_eq(values.values[8], "{-3,5}");
}

Test(query, an_absent_parameter_is_null)
{
  const Google__Protobuf__Timestamp message = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
  const struct params params = {.message = &message};
  struct pg_params values;
  add(&values, &params);
  cr_expect_null(values.values[0]);
  cr_expect_null(values.values[2]);
}

struct optional_fields {
  int _text_case;
  const char *text;
  int _number_case;
  int32_t number;
  int _big_case;
  int64_t big;
};

struct many_params {
  const void *const *messages;
  size_t messages_count;
};

#define EACH                                                                                                           \
  .nullable = true, .from = QUERY_FROM_MESSAGES, .holder = offsetof(struct many_params, messages),                     \
  .holder_count = offsetof(struct many_params, messages_count)

Test(query, an_optional_field_that_is_absent_from_one_of_many_messages_is_null_in_the_array)
{
  static const struct query_param table[] = {
      {.kind = QUERY_TEXT,
       EACH,
       .offset = offsetof(struct optional_fields, text),
       .presence = offsetof(struct optional_fields, _text_case)},
      {.kind = QUERY_FIELD_INT32,
       EACH,
       .offset = offsetof(struct optional_fields, number),
       .presence = offsetof(struct optional_fields, _number_case)},
      {.kind = QUERY_INT64,
       EACH,
       .offset = offsetof(struct optional_fields, big),
       .presence = offsetof(struct optional_fields, _big_case)},
  };
  const struct query query = {.params = table, .param_count = ARRAY_LEN(table)};
  const struct optional_fields full = {3, "", 4, -7, 5, INT64_MIN}, empty = {0};
  const struct many_params params = {(const void *const[]){&full, &empty}, 2};
  struct pg_params values;
  pg_params_init(&values, &arena);
  query_add_params(&values, &query, &params);
  cr_expect_str_eq(values.values[0], "{\"\",NULL}", "an empty text that is there is not NULL");
  cr_expect_str_eq(values.values[1], "{\"-7\",NULL}");
  cr_expect_str_eq(values.values[2], "{\"-9223372036854775808\",NULL}");
}

struct plain_fields {
  const char *text;
  const char *const *tags;
  size_t n_tags;
};

Test(query, texts_and_lists_of_texts_of_many_messages_are_arrays_of_texts)
{
  static const struct query_param table[] = {
      {.kind = QUERY_FIELD_TEXT, EACH, .offset = offsetof(struct plain_fields, text)},
      {.kind = QUERY_FIELD_TEXTS,
       EACH,
       .offset = offsetof(struct plain_fields, tags),
       .count = offsetof(struct plain_fields, n_tags)},
  };
  const struct query query = {.params = table, .param_count = ARRAY_LEN(table)};
  const struct plain_fields full = {"lamp", (const char *const[]){"a\"b", "c\\d", ""}, 3}, empty = {.text = ""};
  const struct many_params params = {(const void *const[]){&full, &empty}, 2};
  struct pg_params values;
  pg_params_init(&values, &arena);
  query_add_params(&values, &query, &params);
  cr_expect_str_eq(values.values[0], "{\"lamp\",NULL}", "an empty text without presence is NULL");
  // Each list is the text of an array of its own, which is an item of the array around it.
  cr_expect_str_eq(values.values[1], "{\"{\\\"a\\\\\\\"b\\\",\\\"c\\\\\\\\d\\\",\\\"\\\"}\",\"{}\"}");
}

// ---- rows ----

struct row {
  const char *text;
  int64_t number;
  bool has_number;
  bool flag;
  double real;
  struct slice bytes;
  char **texts;
  size_t texts_count;
};

static const struct query_column columns[] = {
    {.kind = QUERY_TEXT, .nullable = true, .offset = offsetof(struct row, text)},
    {.kind = QUERY_INT64,
     .nullable = true,
     .offset = offsetof(struct row, number),
     .extra = offsetof(struct row, has_number)},
    {.kind = QUERY_BOOL, .offset = offsetof(struct row, flag)},
    {.kind = QUERY_DOUBLE, .offset = offsetof(struct row, real)},
    {.kind = QUERY_BYTES, .offset = offsetof(struct row, bytes)},
    {.kind = QUERY_TEXTS, .offset = offsetof(struct row, texts), .extra = offsetof(struct row, texts_count)},
};
static const struct query row_query = {.statement = {.name = "test"},
                                       .columns = columns,
                                       .column_count = ARRAY_LEN(columns),
                                       .row_size = sizeof(struct row)};

static enum status read_cells(const struct slice *cells, size_t rows, struct query_rows *out)
{
  const struct pg_result result = {.rows = rows, .columns = ARRAY_LEN(columns), .cells = cells};
  return query_read_rows(&row_query, &result, &arena, out);
}

Test(query, rows_are_read_by_their_columns)
{
  const struct slice cells[] = {
      SLICE("lamp"), SLICE("-7"), SLICE("t"), SLICE("1.5"), SLICE("\\x00ff"), SLICE("{a,\"b c\"}"),
      {NULL, 0},     {NULL, 0},   SLICE("f"), SLICE("0"),   SLICE("\\x"),     SLICE("{}"),
  };
  struct query_rows found;
  cr_assert_eq(read_cells(cells, 2, &found), STATUS_OK);
  cr_assert_eq(found.count, 2);
  const struct row *rows = found.rows;
  cr_expect_str_eq(rows[0].text, "lamp");
  cr_expect(rows[0].has_number);
  cr_expect_eq(rows[0].number, -7);
  cr_expect(rows[0].flag);
  cr_expect(rows[0].real > 1.4 && rows[0].real < 1.6);
  cr_expect_eq(rows[0].bytes.size, 2);
  cr_expect_eq(memcmp(rows[0].bytes.data, "\x00\xff", 2), 0);
  cr_expect_eq(rows[0].texts_count, 2);
  cr_expect_str_eq(rows[0].texts[1], "b c");
  cr_expect_null(rows[1].text);
  cr_expect_not(rows[1].has_number);
  cr_expect_not(rows[1].flag);
  cr_expect_eq(rows[1].bytes.size, 0);
  cr_expect_eq(rows[1].texts_count, 0);
}

// A query may promise what the data does not keep ("-- not null"); the service stays alive.
Test(query, a_row_that_breaks_its_promise_is_an_internal_error)
{
  const struct slice good[] = {SLICE("a"), SLICE("1"), SLICE("t"), SLICE("1"), SLICE("\\x"), SLICE("{}")};
  static const struct {
    size_t column;
    struct slice cell;
  } cases[] = {
      {2, {NULL, 0}},
      {1, SLICE_INIT("9223372036854775808")},
      {1, SLICE_INIT("")},
      {2, SLICE_INIT("true")},
      {3, SLICE_INIT("1.5x")},
      {4, SLICE_INIT("\\xg0")},
      {4, SLICE_INIT("00")},
      {5, SLICE_INIT("{a")},
      {5, SLICE_INIT("{a,NULL}")},
  };
  for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
    struct slice cells[ARRAY_LEN(columns)];
    memcpy(cells, good, sizeof(good));
    cells[cases[i].column] = cases[i].cell;
    struct query_rows found;
    cr_expect_eq(read_cells(cells, 1, &found), STATUS_INTERNAL, "case %zu", i);
  }
}

// ---- optional fields ----

// The shape that protoc-c gives them: the field's number where it is there, 0 where it is absent.
struct parcel {
  int _weight_case;
  int32_t weight;
  int _note_case;
  char *note;
};
struct parcel_params {
  const struct parcel *parcel;
};

static const struct query_param parcel_params[] = {
    {.kind = QUERY_FIELD_INT32,
     .nullable = true,
     .from = QUERY_FROM_MESSAGE,
     .offset = offsetof(struct parcel, weight),
     .presence = offsetof(struct parcel, _note_case)},
    {.kind = QUERY_TEXT,
     .nullable = true,
     .from = QUERY_FROM_MESSAGE,
     .offset = offsetof(struct parcel, note),
     .presence = offsetof(struct parcel, _note_case)},
};
static const struct query_column parcel_columns[] = {
    {.kind = QUERY_FIELD_INT32,
     .nullable = true,
     .offset = offsetof(struct parcel, weight),
     .presence = offsetof(struct parcel, _note_case),
     .number = 3},
};

Test(query, an_absent_optional_field_is_null_and_an_empty_one_is_not)
{
  const struct query query = {.params = parcel_params, .param_count = ARRAY_LEN(parcel_params)};
  const struct parcel empty = {._note_case = 4, .note = ""}, absent = {.note = NULL};
  struct pg_params values;
  pg_params_init(&values, &arena);
  query_add_params(&values, &query, &(struct parcel_params){&empty});
  cr_expect_str_eq(values.values[0], "0");
  cr_expect_str_eq(values.values[1], "");
  pg_params_init(&values, &arena);
  query_add_params(&values, &query, &(struct parcel_params){&absent});
  cr_expect_null(values.values[0]);
  cr_expect_null(values.values[1]);
}

Test(query, an_optional_field_is_there_where_its_column_is_not_null)
{
  const struct query query = {
      .columns = parcel_columns, .column_count = ARRAY_LEN(parcel_columns), .row_size = sizeof(struct parcel)};
  const struct slice cells[] = {SLICE("0"), {NULL, 0}};
  const struct pg_result result = {.rows = 2, .columns = 1, .cells = cells};
  struct query_rows found;
  cr_assert_eq(query_read_rows(&query, &result, &arena, &found), STATUS_OK);
  const struct parcel *parcels = found.rows;
  cr_expect_eq(parcels[0]._note_case, 3);
  cr_expect_eq(parcels[1]._note_case, 0);
}
