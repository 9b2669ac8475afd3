// Timestamp, Duration and FieldMask at the edges of what proto3 JSON has for them.
#include <criterion/criterion.h>

#include "common/base/compiler.h"
#include "common/base/wire.h"
#include "tests/support/contract/fixture.h"

// Expects that a value of this field of t.v1.All comes back as `expected`; NULL means that it is refused.
static void expect_value(const char *field, const char *json, const char *expected)
{
  struct strbuf text;
  strbuf_init(&text, 0);
  strbuf_printf(&text, "{\"%s\":%s}", field, json);
  struct outcome outcome = fixture_round_trip(fixture_message("t.v1.All"), strbuf_cstring(&text));
  strbuf_clear(&text);
  strbuf_printf(&text, "\"%s\":%s,", field, expected == NULL ? "" : expected);
  if (expected == NULL)
    cr_expect_eq(outcome.status, STATUS_INVALID_ARGUMENT, "%s is accepted", json);
  else if (outcome.status != STATUS_OK)
    cr_expect_fail("%s: %s", json, outcome.violations);
  else
    cr_expect_not_null(strstr(outcome.json, strbuf_cstring(&text)), "%s: %s", json, outcome.json);
  strbuf_free(&text);
}

Test(well_known, durations)
{
  static const char *const CASES[][2] = {
      {"\"0s\"", "\"0s\""},
      {"\"1s\"", "\"1s\""},
      {"\"-1s\"", "\"-1s\""},
      {"\"0.1s\"", "\"0.100s\""},
      {"\"0.001s\"", "\"0.001s\""},
      {"\"0.0001s\"", "\"0.000100s\""},
      {"\"0.000001s\"", "\"0.000001s\""},
      {"\"0.0000001s\"", "\"0.000000100s\""},
      {"\"0.000000001s\"", "\"0.000000001s\""},
      {"\"-0.999999999s\"", "\"-0.999999999s\""},
      {"\"-1.5s\"", "\"-1.500s\""},
      {"\"315576000000s\"", "\"315576000000s\""},
      {"\"-315576000000s\"", "\"-315576000000s\""},
      {"\"315575999999.999999999s\"", "\"315575999999.999999999s\""},
      {"\"315576000000.999999999s\"", "\"315576000000.999999999s\""},
      {"\"-315576000000.999999999s\"", "\"-315576000000.999999999s\""},
      {"\"315576000001s\"", NULL},
      {"\"-315576000001s\"", NULL},
      {"\"0.0000000001s\"", NULL},
      {"\"1.s\"", NULL},
      {"\".5s\"", NULL},
      {"\"s\"", NULL},
      {"\"-s\"", NULL},
      {"\"\"", NULL},
      {"\"1\"", NULL},
      {"\"1.5xs\"", NULL},
      {"\"1.-5s\"", NULL},
      {"\"+1s\"", NULL},
      {"\"--1s\"", NULL},
      {"\" 1s\"", NULL},
      {"\"1S\"", NULL},
      {"1", NULL},
  };
  for (size_t i = 0; i < ARRAY_LEN(CASES); i++)
    expect_value("duration", CASES[i][0], CASES[i][1]);
}

Test(well_known, masks)
{
  static const char *const CASES[][2] = {
      {"\"\"", "\"\""},
      {"\"name\"", "\"name\""},
      {"\"name,createTime.inMs,a1\"", "\"name,createTime.inMs,a1\""},
      {"\"a.b.c\"", "\"a.b.c\""},
      {"\"create_time,a1.b_c\"", "\"createTime,a1.bC\""},
      {"\"create_Time\"", NULL},
      {"\"create__time\"", NULL},
      {"\"_time\"", NULL},
      {"\"time_\"", NULL},
      {"\"time_1\"", NULL},
      {"\"a._b\"", NULL},
      {"\"Name\"", NULL},
      {"\"name,\"", NULL},
      {"\",name\"", NULL},
      {"\"name,,other\"", NULL},
      {"\"a.\"", NULL},
      {"\".a\"", NULL},
      {"\"a..b\"", NULL},
      {"\"a.1b\"", NULL},
      {"\"1a\"", NULL},
      {"\"a.B\"", NULL},
      {"\"a b\"", NULL},
      {"\"*\"", "\"*\""},
      {"\"name,*\"", "\"name,*\""},
      {"\"a.*\"", NULL},
      {"\"**\"", NULL},
      {"\"\\u00e9\"", NULL},
      {"[\"name\"]", NULL},
  };
  for (size_t i = 0; i < ARRAY_LEN(CASES); i++)
    expect_value("mask", CASES[i][0], CASES[i][1]);
}

Test(well_known, masks_are_bounded)
{
  struct strbuf json;
  for (size_t size = 4096; size <= 4097; size++) {
    strbuf_init(&json, 0);
    strbuf_add_byte(&json, '"');
    for (size_t i = 0; i < size; i++)
      strbuf_add_byte(&json, 'a');
    strbuf_add_byte(&json, '"');
    expect_value("mask", strbuf_cstring(&json), size == 4096 ? strbuf_cstring(&json) : NULL);
    strbuf_free(&json);
  }
  // Each capital letter takes two bytes of an original name.
  strbuf_init(&json, 0);
  strbuf_add_string(&json, "\"a");
  for (size_t i = 1; i < 4096; i++)
    strbuf_add_byte(&json, 'B');
  strbuf_add_byte(&json, '"');
  expect_value("mask", strbuf_cstring(&json), strbuf_cstring(&json));
  strbuf_free(&json);
}

// ---- what a service sends ----

// Returns the JSON of a message with these fields 1 and 2; NULL where it is refused.
static const char *instant_json(const char *type, int64_t seconds, int64_t nanos)
{
  static struct strbuf json;
  struct strbuf wire;
  strbuf_init(&wire, 0);
  strbuf_clear(&json);
  wire_write_varint(&wire, 1, (uint64_t)seconds);
  wire_write_varint(&wire, 2, (uint64_t)nanos);
  enum status status = transcode_wire_to_json(fixture_message(type), strbuf_slice(&wire), &json);
  strbuf_free(&wire);
  cr_assert_eq(status == STATUS_OK, json.size > 0);
  return status == STATUS_OK ? strbuf_cstring(&json) : NULL;
}

Test(well_known, durations_out_of_range_are_refused)
{
  static const struct {
    int64_t seconds;
    int64_t nanos;
    const char *json;
  } CASES[] = {
      {315576000000, 0, "\"315576000000s\""},
      {-315576000000, 0, "\"-315576000000s\""},
      {1, 999999999, "\"1.999999999s\""},
      {-1, -999999999, "\"-1.999999999s\""},
      {0, -1, "\"-0.000000001s\""},
      {315576000001, 0, NULL},
      {-315576000001, 0, NULL},
      {0, 1000000000, NULL},
      {0, -1000000000, NULL},
      {1, -1, NULL},
      {-1, 1, NULL},
      {INT64_MIN, 0, NULL},
      {0, INT32_MIN, NULL},
  };
  for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
    const char *json = instant_json("google.protobuf.Duration", CASES[i].seconds, CASES[i].nanos);
    cr_expect(CASES[i].json == NULL ? json == NULL : json != NULL && strcmp(json, CASES[i].json) == 0, "%zu: %s", i,
              json == NULL ? "refused" : json);
  }
}

Test(well_known, times_out_of_range_are_refused)
{
  cr_expect_str_eq(instant_json("google.protobuf.Timestamp", 0, 0), "\"1970-01-01T00:00:00Z\"");
  cr_expect_str_eq(instant_json("google.protobuf.Timestamp", -62135596800, 0), "\"0001-01-01T00:00:00Z\"");
  cr_expect_str_eq(instant_json("google.protobuf.Timestamp", 253402300799, 999999999),
                   "\"9999-12-31T23:59:59.999999999Z\"");
  cr_expect_null(instant_json("google.protobuf.Timestamp", -62135596801, 0));
  cr_expect_null(instant_json("google.protobuf.Timestamp", 253402300800, 0));
  cr_expect_null(instant_json("google.protobuf.Timestamp", 0, 1000000000));
  cr_expect_null(instant_json("google.protobuf.Timestamp", 0, -1));
}

Test(well_known, masks_of_names_without_a_json_form_are_refused)
{
  static const struct {
    const char *path;
    const char *json;
  } CASES[] = {
      {"name", "\"name\""}, {"create_time.in_ms", "\"createTime.inMs\""},
      {"a_1", NULL},        {"_a", NULL},
      {"a_", NULL},         {"a__b", NULL},
      {"createTime", NULL}, {"a-b", NULL},
  };
  for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
    struct strbuf wire;
    struct strbuf json;
    strbuf_init(&wire, 0);
    strbuf_init(&json, 0);
    wire_write_bytes(&wire, 1, slice_from_string(CASES[i].path));
    enum status status =
        transcode_wire_to_json(fixture_message("google.protobuf.FieldMask"), strbuf_slice(&wire), &json);
    cr_expect_eq(status, CASES[i].json == NULL ? STATUS_INTERNAL : STATUS_OK, "%s", CASES[i].path);
    cr_expect_str_eq(strbuf_cstring(&json), CASES[i].json == NULL ? "" : CASES[i].json);
    strbuf_free(&json);
    strbuf_free(&wire);
  }
}
