// What every service with resources uses: preconditions, field masks, page tokens, times.
#include <criterion/criterion.h>
#include <string.h>

#include "common/base/codec.h"
#include "common/base/wire.h"
#include "common/service/resource.h"

#define ID "01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6b"

static struct arena arena;

static void setup(void)
{
  arena_init(&arena);
}

static void teardown(void)
{
  arena_free(&arena);
}

TestSuite(resource, .init = setup, .fini = teardown);

// ---- preconditions ----

Test(resource, an_etag_fits_where_the_caller_names_it_or_nothing)
{
  static const struct {
    const char *if_match;
    const char *body_etag;
    bool fits;
    bool conditional;
  } cases[] = {
      {"", "", true, false},   {"*", "", true, false},  {"7", "", true, true},   {"", "7", true, true},
      {"7", "7", true, true},  {"*", "7", true, true},  {"8", "", false, true},  {"", "8", false, true},
      {"7", "8", false, true}, {"8", "7", false, true}, {"*", "8", false, true}, {"77", "", false, true},
  };
  for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
    cr_expect_eq(resource_etag_fits("7", cases[i].if_match, cases[i].body_etag), cases[i].fits, "\"%s\" \"%s\"",
                 cases[i].if_match, cases[i].body_etag);
    cr_expect_eq(resource_is_conditional(cases[i].if_match, cases[i].body_etag), cases[i].conditional, "\"%s\" \"%s\"",
                 cases[i].if_match, cases[i].body_etag);
  }
}

// ---- field masks ----

struct thing {
  int first;
  int second;
  int id;
};

static void copy_first(void *to, const void *from)
{
  ((struct thing *)to)->first = ((const struct thing *)from)->first;
}

static void copy_second(void *to, const void *from)
{
  ((struct thing *)to)->second = ((const struct thing *)from)->second;
}

static const struct resource_field fields[] = {{"first", copy_first}, {"second", copy_second}, {"id", NULL}};

// {1, 2, 3} changed by {10, 20, 30} with this mask.
static struct thing merged(const Google__Protobuf__FieldMask *mask, const char *expected_unknown)
{
  struct thing to = {1, 2, 3};
  const struct thing from = {10, 20, 30};
  const char *unknown = resource_merge(&to, &from, mask, fields, ARRAY_LEN(fields));
  if (expected_unknown == NULL)
    cr_expect_null(unknown, "%s", unknown);
  else
    cr_expect_str_eq(unknown, expected_unknown);
  return to;
}

static struct thing merged_paths(char **paths, size_t count, const char *expected_unknown)
{
  Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
  mask.paths = paths;
  mask.n_paths = count;
  return merged(&mask, expected_unknown);
}

static void expect_thing(struct thing got, int first, int second, int id)
{
  cr_expect_eq(got.first, first);
  cr_expect_eq(got.second, second);
  cr_expect_eq(got.id, id);
}

Test(resource, a_mask_copies_the_fields_that_it_names)
{
  expect_thing(merged_paths((char *[]){"first"}, 1, NULL), 10, 2, 3);
  expect_thing(merged_paths((char *[]){"second", "first"}, 2, NULL), 10, 20, 3);
  expect_thing(merged_paths((char *[]){"second", "second"}, 2, NULL), 1, 20, 3);
}

Test(resource, no_mask_and_a_star_copy_all_an_empty_mask_nothing)
{
  expect_thing(merged(NULL, NULL), 10, 20, 3);
  expect_thing(merged_paths((char *[]){"*"}, 1, NULL), 10, 20, 3);
  expect_thing(merged_paths(NULL, 0, NULL), 1, 2, 3);
}

Test(resource, fields_of_the_service_may_be_named_and_stay)
{
  expect_thing(merged_paths((char *[]){"id", "first"}, 2, NULL), 10, 2, 3);
}

Test(resource, an_unknown_path_is_named)
{
  merged_paths((char *[]){"first", "third"}, 2, "third");
  merged_paths((char *[]){""}, 1, "");
  merged_paths((char *[]){"First"}, 1, "First");
  merged_paths((char *[]){"first.second"}, 1, "first.second");
  merged_paths((char *[]){"firs"}, 1, "firs");
}

// ---- page tokens ----

static bool reads(const char *token, uint64_t query, const char *value, const char *id)
{
  struct slice read_value, read_id;
  if (!resource_read_page_token(token, query, &arena, &read_value, &read_id))
    return false;
  cr_expect(slice_equal_string(read_value, value), "value " SLICE_FMT, SLICE_ARG(read_value));
  cr_expect(slice_equal_string(read_id, id), "id " SLICE_FMT, SLICE_ARG(read_id));
  // Handed to SQL as C strings.
  cr_expect_eq(read_value.data[read_value.size], '\0');
  cr_expect_eq(read_id.data[read_id.size], '\0');
  return true;
}

Test(resource, a_page_token_gives_back_what_went_in)
{
  static const char *const values[] = {"", "0", "Desk lamp", "Лампа", "a\"b\\c\n"};
  for (size_t i = 0; i < ARRAY_LEN(values); i++) {
    const char *token = resource_write_page_token(42, slice_from_string(values[i]), SLICE(ID), &arena);
    cr_expect(reads(token, 42, values[i], ID), "%s", values[i]);
    cr_expect_eq(strspn(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"), strlen(token));
  }
}

Test(resource, a_page_token_holds_for_its_query_only)
{
  const char *token = resource_write_page_token(42, SLICE("v"), SLICE(ID), &arena);
  cr_expect_not(reads(token, 43, "v", ID));
  cr_expect_not(reads(token, 0, "v", ID));
  cr_expect(reads(token, 42, "v", ID));
}

Test(resource, a_page_token_cut_anywhere_is_refused)
{
  const char *token = resource_write_page_token(42, SLICE("value"), SLICE(ID), &arena);
  for (size_t size = 0; size < strlen(token); size++)
    cr_expect_not(reads(arena_string(&arena, slice_make(token, size)), 42, "value", ID), "%zu", size);
}

// Whatever comes in, what is read is fit for SQL: an id that is a UUID and of the same query.
Test(resource, every_bit_of_a_page_token_may_be_flipped)
{
  struct strbuf wire, text;
  strbuf_init(&wire, 0);
  strbuf_init(&text, 0);
  cr_assert(base64_decode(slice_from_string(resource_write_page_token(42, SLICE("v"), SLICE(ID), &arena)), &wire));
  size_t read = 0;
  for (size_t bit = 0; bit < wire.size * 8; bit++) {
    wire.data[bit / 8] = (char)(wire.data[bit / 8] ^ (1 << bit % 8));
    strbuf_clear(&text);
    base64url_encode(strbuf_slice(&wire), &text);
    struct slice value, id;
    if (resource_read_page_token(strbuf_cstring(&text), 42, &arena, &value, &id)) {
      read++;
      cr_expect_eq(id.size, strlen(ID));
      cr_expect_eq(strspn(id.data, "0123456789abcdefABCDEF-"), strlen(ID));
      cr_expect_leq(value.size, wire.size);
      // Field 1 is the fingerprint: a tag and eight bytes.
      cr_expect_geq(bit / 8, 9, "bit %zu", bit);
    }
    wire.data[bit / 8] = (char)(wire.data[bit / 8] ^ (1 << bit % 8));
  }
  cr_expect_gt(read, 0);
  strbuf_free(&wire);
  strbuf_free(&text);
}

Test(resource, what_is_no_page_token_is_refused)
{
  static const char *const wrong[] = {"", "A", "AAAA", "!!!!", "CSoAAAAAAAAA", ID, "CSoAAAAAAAAAEgF2GgEx"};
  for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
    cr_expect_not(reads(wrong[i], 42, "", ""), "%s", wrong[i]);
  char *big = arena_alloc(&arena, 100001);
  memset(big, 'A', 100000);
  big[100000] = '\0';
  cr_expect_not(reads(big, 42, "", ""));
}

static bool reads_id(const char *id)
{
  return reads(resource_write_page_token(1, SLICE("v"), slice_from_string(id), &arena), 1, "v", id);
}

Test(resource, the_id_of_a_page_token_is_a_uuid)
{
  cr_expect(reads_id(ID));
  cr_expect_not(reads_id(""));
  cr_expect_not(reads_id("1"));
  cr_expect_not(reads_id("01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6"));
  cr_expect_not(reads_id("01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6b "));
  cr_expect_not(reads_id("01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6'"));
}

// ---- times ----

Test(resource, micros_within_the_years_1_to_9999)
{
  static const struct {
    const char *text;
    bool good;
    int64_t micros;
  } cases[] = {
      {"0", true, 0},
      {"-1", true, -1},
      {"1700000000123456", true, INT64_C(1700000000123456)},
      {"-62135596800000000", true, INT64_C(-62135596800000000)},
      {"-62135596800000001", false, 0},
      {"253402300799999999", true, INT64_C(253402300799999999)},
      {"253402300800000000", false, 0},
      {"99999999999999999999", false, 0},
      {"", false, 0},
      {"1.5", false, 0},
      {" 1", false, 0},
      {"1x", false, 0},
      {"infinity", false, 0},
  };
  for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
    int64_t micros = 0;
    cr_expect_eq(resource_parse_micros(slice_from_string(cases[i].text), &micros), cases[i].good, "%s", cases[i].text);
    if (cases[i].good)
      cr_expect_eq(micros, cases[i].micros, "%s", cases[i].text);
  }
}

Test(resource, times_keep_every_microsecond_on_both_sides_of_1970)
{
  static const struct {
    int64_t micros;
    int64_t seconds;
    int32_t nanos;
  } cases[] = {
      {0, 0, 0},
      {1, 0, 1000},
      {1999999, 1, 999999000},
      {-1, -1, 999999000},
      {-1000000, -1, 0},
      {-1000001, -2, 999999000},
      {INT64_C(-62135596800000000), INT64_C(-62135596800), 0},
      {INT64_C(253402300799999999), INT64_C(253402300799), 999999000},
  };
  for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
    const Google__Protobuf__Timestamp *time = resource_time(cases[i].micros, &arena);
    cr_expect_eq(time->seconds, cases[i].seconds);
    cr_expect_eq(time->nanos, cases[i].nanos);
    cr_expect_eq(resource_micros(time), cases[i].micros);
  }
}

Test(resource, sql_null_is_the_empty_text)
{
  const struct slice cells[] = {SLICE("lamp"), SLICE(""), {NULL, 0}};
  const struct pg_result result = {.rows = 1, .columns = 3, .cells = cells};
  cr_expect_str_eq(resource_text(&result, 0, 0), "lamp");
  cr_expect_str_eq(resource_text(&result, 0, 1), "");
  cr_expect_str_eq(resource_text(&result, 0, 2), "");
}
