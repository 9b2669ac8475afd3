// Rules that contracts give to fields: which fit their field, up to the last value, and which are refused.
#include <criterion/criterion.h>

#include "tests/support/contract/fixture.h"

struct declared {
  const char *type;
  const char *rules;
  const char *mistake;  // a part of what is said; NULL where the rules are accepted
};

static struct arena arena;

static void setup(void)
{
  arena_init(&arena);
}

static void teardown(void)
{
  arena_free(&arena);
}

TestSuite(field_rules, .init = setup, .fini = teardown);

// Returns the diagnostics of a message with these fields, f0, f1 and so on.
static const char *find_mistakes(const struct declared *fields, size_t count)
{
  const char *text = "service S { rpc Put(M) returns (M) { option (google.api.http) = {put: \"/v1/m\" body: \"*\"};"
                     " option (bulkhead.v1.method) = {access: ACCESS_PUBLIC}; } }\n"
                     "message Part { string a = 1; }\nmessage M {\n";
  for (size_t i = 0; i < count; i++)
    text = arena_printf(&arena, "%s%s f%zu = %zu [(bulkhead.v1.field) = {%s}];\n", text, fields[i].type, i, i + 1,
                        fields[i].rules);
  return fixture_mistakes(arena_printf(&arena, "%s}\n", text));
}

static void expect_mistakes(const struct declared *fields, size_t count)
{
  const char *mistakes = find_mistakes(fields, count);
  for (size_t i = 0; i < count; i++) {
    const char *said = fixture_mistake_of(mistakes, arena_printf(&arena, "t.v1.M.f%zu", i));
    bool expected = fields[i].mistake == NULL ? said == NULL : said != NULL && strstr(said, fields[i].mistake) != NULL;
    cr_expect(expected, "%s {%s}:%s", fields[i].type, fields[i].rules, said == NULL ? " accepted" : said);
  }
}

#define EXPECT_MISTAKES(...)                                                                                           \
  do {                                                                                                                 \
    static const struct declared FIELDS[] = {__VA_ARGS__};                                                             \
    expect_mistakes(FIELDS, ARRAY_LEN(FIELDS));                                                                        \
  } while (0)

Test(field_rules, lengths_and_counts_may_meet_but_not_cross)
{
  EXPECT_MISTAKES({"string", "min_length: 3 max_length: 3", NULL},
                  {"string", "min_length: 4 max_length: 3", "min_length 4 is above max_length 3"},
                  {"string", "min_length: 65536", NULL},
                  {"string", "min_length: 65537", "min_length 65537 is above max_length 65536"},
                  {"bytes", "min_length: 1 max_length: 1", NULL},
                  {"repeated string", "min_items: 2 max_items: 2", NULL},
                  {"repeated string", "min_items: 3 max_items: 2", "min_items 3 is above max_items 2"},
                  {"repeated string", "min_items: 1000", NULL},
                  {"repeated string", "min_items: 1001", "min_items 1001 is above max_items 1000"});
}

Test(field_rules, bounds_reach_to_the_ends_of_the_type)
{
  EXPECT_MISTAKES({"int32", "minimum: {value: 5} maximum: {value: 5}", NULL},
                  {"int32", "minimum: {value: 6} maximum: {value: 5}", "minimum 6 is above maximum 5"},
                  {"int32", "minimum: {value: 2147483647}", NULL}, {"int32", "maximum: {value: -2147483648}", NULL},
                  {"int32", "minimum: {value: 2147483648}", "write 2147483647 or less"},
                  {"int32", "maximum: {value: -2147483649}", "write -2147483648 or more"},
                  {"sint32", "minimum: {value: 2147483648}", "write 2147483647 or less"},
                  {"sfixed32", "maximum: {value: -2147483649}", "write -2147483648 or more"},
                  {"uint32", "minimum: {value: 4294967295}", NULL}, {"uint32", "maximum: {value: 0}", NULL},
                  {"uint32", "minimum: {value: 4294967296}", "write 4294967295 or less"},
                  {"uint32", "maximum: {value: -1}", "write 0 or more"},
                  {"fixed32", "minimum: {value: 4294967296}", "write 4294967295 or less"},
                  {"uint64", "maximum: {value: 0}", NULL}, {"uint64", "maximum: {value: -1}", "write 0 or more"},
                  {"fixed64", "maximum: {value: -1}", "write 0 or more"},
                  {"int64", "maximum: {value: -9223372036854775808}", NULL},
                  {"int64", "minimum: {value: 9223372036854775807}", NULL}, {"sint64", "maximum: {value: -1}", NULL},
                  {"sfixed64", "maximum: {value: -1}", NULL});
}

Test(field_rules, fit_the_type_of_their_field)
{
  EXPECT_MISTAKES({"int32", "max_length: 1", "max_length does not fit here"},
                  {"bool", "minimum: {value: 1}", "minimum does not fit here"},
                  {"double", "maximum: {value: 1}", "maximum does not fit here"},
                  {"string", "max_items: 1", "max_items does not fit here"},
                  {"map<string, string>", "max_items: 1", NULL}, {"repeated int32", "unique_items: true", NULL},
                  {"repeated Part", "unique_items: true", "unique_items does not fit here"},
                  {"int32", "unique_items: true", "unique_items does not fit here"},
                  {"repeated string", "format: FORMAT_LINE one_of: \"a\"", NULL},
                  {"bytes", "format: FORMAT_LINE", "format does not fit here"},
                  {"int32", "one_of: \"1\"", "one_of does not fit here"},
                  {"bool", "required: true", "required does not fit here"}, {"optional bool", "required: true", NULL},
                  {"repeated bool", "required: true", NULL}, {"Part", "required: true", NULL});
}

Test(field_rules, do_not_contradict_each_other)
{
  EXPECT_MISTAKES({"string", "output_only: true required: true", "required and output_only exclude each other"},
                  {"string", "output_only: true immutable: true", "immutable and output_only exclude each other"},
                  {"string", "output_only: true secret: true", "secret and output_only exclude each other"},
                  {"string", "required: true immutable: true secret: true", NULL},
                  {"string", "output_only: true to_header: \"X-B\"", NULL},
                  {"string", "output_only: true from_header: \"X-A\"", "from_header and output_only exclude"},
                  {"string", "secret: true to_header: \"X-A\"", "secret and to_header exclude each other"});
}

Test(field_rules, name_headers_by_letters_digits_and_hyphens)
{
  EXPECT_MISTAKES(
      {"string", "to_header: \"azAZ-09\"", NULL}, {"string", "from_header: \"azAZ-08\"", NULL},
      {"string", "to_header: \"X_A\"", "is not a header name"},
      {"string", "to_header: \"X A\"", "is not a header name"}, {"string", "to_header: \"X/\"", "is not a header name"},
      {"string", "to_header: \"X:\"", "is not a header name"}, {"string", "to_header: \"X@\"", "is not a header name"},
      {"string", "to_header: \"X[\"", "is not a header name"}, {"string", "to_header: \"X`\"", "is not a header name"},
      {"string", "from_header: \"X\\t\"", "is not a header name"},
      {"string", "from_header: \"HOST\"", "is a header of the gateway's own"},
      {"string", "from_header: \"te\"", "is a header of the gateway's own"}, {"string", "from_header: \"TE-A\"", NULL},
      {"repeated string", "from_header: \"X-C\"", "from_header does not fit here"});
}

Test(field_rules, one_of_lists_only_what_the_other_rules_accept)
{
  EXPECT_MISTAKES(
      {"string", "max_length: 2 one_of: \"ab\" one_of: \"abc\"", "the value \"abc\" of one_of must be at most"},
      {"string", "min_length: 2 one_of: \"\" one_of: \"ab\"", NULL},
      {"string", "format: FORMAT_CURRENCY one_of: \"EUR\" one_of: \"eur\"", "the value \"eur\" of one_of"});
}

// Returns a field with `count` values of one_of.
static struct declared with_values(size_t count)
{
  const char *rules = "";
  for (size_t i = 0; i < count; i++)
    rules = arena_printf(&arena, "%s one_of: \"v%zu\"", rules, i);
  return (struct declared){.type = "string", .rules = rules};
}

Test(field_rules, one_of_is_bounded)
{
  struct declared fields[] = {with_values(256), with_values(257)};
  fields[1].mistake = "one_of has 257 values; write 256 at most";
  expect_mistakes(fields, ARRAY_LEN(fields));
}
