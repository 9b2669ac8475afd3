// Single values against rules.
#include <criterion/criterion.h>

#include "common/contract/rules.h"

static void expect_texts(enum field_format format, const char *const *texts, size_t count, bool valid)
{
  struct field_rules rules = {.format = format};
  struct strbuf sentence = {0};
  for (size_t i = 0; i < count; i++)
    cr_expect((rules_check_text(&rules, slice_from_string(texts[i]), &sentence) == NULL) == valid, "%s", texts[i]);
  strbuf_free(&sentence);
}

#define EXPECT_VALID(format, ...)                                                                                      \
  expect_texts(format, (const char *const[]){__VA_ARGS__}, ARRAY_LEN(((const char *const[]){__VA_ARGS__})), true)
#define EXPECT_INVALID(format, ...)                                                                                    \
  expect_texts(format, (const char *const[]){__VA_ARGS__}, ARRAY_LEN(((const char *const[]){__VA_ARGS__})), false)

#define LABEL_63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

Test(rules, formats)
{
  EXPECT_VALID(FORMAT_EMAIL, "a@b", "ada.l+x@example.com", "x@" LABEL_63 ".de", "!#$%&'*+-/=?^_`{|}~@b-1.c");
  EXPECT_INVALID(FORMAT_EMAIL, "a", "@b", "a@", "a@b.", "a@.b", ".a@b", "a.@b", "a..a@b", "a b@c", "a@-b", "a@b-",
                 "a@b@c", "\"a\"@b", "x@" LABEL_63 "a.de", "a" LABEL_63 "a@b", "\xc3\xa9@b", "a@b\n");
  EXPECT_VALID(FORMAT_UUID, "01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6b");
  EXPECT_INVALID(FORMAT_UUID, "01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6", "01936b5e7c1a7d3e9f001c2d3e4f5a6b");
  EXPECT_VALID(FORMAT_DECIMAL, "0", "12.50", "-0.0001", "999999999999999.9999");
  EXPECT_INVALID(FORMAT_DECIMAL, "-", ".5", "1.", "1.00000", "1000000000000000", "1e3", "+1", "1,5", " 1", "1 ");
  EXPECT_VALID(FORMAT_CURRENCY, "EUR");
  EXPECT_INVALID(FORMAT_CURRENCY, "eur", "EU", "EURO");
  EXPECT_VALID(FORMAT_JSON_OBJECT, "{}", " {\"a\":[1]} ", "{\"a\":\"\\\\u0000\"}");
  EXPECT_INVALID(FORMAT_JSON_OBJECT, "[]", "{", "{} {}", "1", "{\"a\":01}", "{\"a\":\"\\u0000\"}",
                 "{\"\\\\\\u0000\":1}");
  EXPECT_VALID(FORMAT_URL_TOKEN, "aZ09._~-");
  EXPECT_INVALID(FORMAT_URL_TOKEN, "a/b", "a b", "a%20");
  EXPECT_VALID(FORMAT_LINE, "a", "a b", "\xe5\xa4\xaa\xe9\x83\x8e", "\xf0\x9f\x99\x82");
  EXPECT_INVALID(FORMAT_LINE, " a", "a ", "a\nb", "\x7f", "a\t",
                 "\xc2\xa0"
                 "a",
                 "a\xe3\x80\x80", " ");
}

static struct strbuf scratch;

static void free_scratch(void)
{
  strbuf_free(&scratch);
}

TestSuite(rules, .fini = free_scratch);

#define EXPECT_KEPT(problem)                                                                                           \
  do {                                                                                                                 \
    const char *said = (problem);                                                                                      \
    cr_expect_null(said, "%s", said);                                                                                  \
  } while (0)

Test(rules, a_length_is_of_characters_or_of_bytes)
{
  struct field_rules rules = {.min_length = 2, .max_length = 3};
  EXPECT_KEPT(rules_check_text(&rules, SLICE("\xc3\xa9\xc3\xa9\xc3\xa9"), &scratch));
  EXPECT_KEPT(rules_check_text(&rules, SLICE("ab"), &scratch));
  cr_assert_str_eq(rules_check_text(&rules, SLICE("\xc3\xa9"), &scratch), "must be at least 2 characters");
  cr_assert_str_eq(rules_check_text(&rules, SLICE("abcd"), &scratch), "must be at most 3 characters");
  EXPECT_KEPT(rules_check_bytes(&rules, SLICE("\xc3\xa9\xff"), &scratch));
  cr_assert_str_eq(rules_check_bytes(&rules, SLICE("\xc3\xa9\xff\xff"), &scratch), "must be at most 3 bytes");
  cr_assert_str_eq(rules_check_bytes(&rules, SLICE("a"), &scratch), "must be at least 2 bytes");
}

Test(rules, a_length_has_a_cap_where_the_contract_names_none)
{
  static char text[RULES_DEFAULT_MAX_LENGTH + 1];
  struct field_rules rules = {0};
  memset(text, 'a', sizeof(text));
  EXPECT_KEPT(rules_check_text(&rules, slice_make(text, sizeof(text) - 1), &scratch));
  cr_assert_str_eq(rules_check_text(&rules, slice_make(text, sizeof(text)), &scratch),
                   "must be at most 65536 characters");
}

Test(rules, a_text_is_utf8_without_u0000)
{
  struct field_rules rules = {0};
  cr_assert_str_eq(rules_check_text(&rules, SLICE("a\xff"), &scratch), "must be valid UTF-8");
  cr_assert_str_eq(rules_check_text(&rules, SLICE("a\0b"), &scratch), "must not contain the character U+0000");
  cr_assert_str_eq(rules_check_text(&rules, SLICE("\0"), &scratch), "must not contain the character U+0000");
}

Test(rules, one_of_lists_what_is_accepted)
{
  static const char *const ALLOWED[] = {"a", "bb"};
  static const char *const OPTIONAL[] = {"", "a", "bb"};
  struct field_rules rules = {.one_of = ALLOWED, .one_of_count = 2};
  EXPECT_KEPT(rules_check_text(&rules, SLICE("a"), &scratch));
  EXPECT_KEPT(rules_check_text(&rules, SLICE("bb"), &scratch));
  cr_assert_str_eq(rules_check_text(&rules, SLICE("b"), &scratch), "must be one of: a, bb");
  cr_assert_str_eq(rules_check_text(&rules, SLICE(""), &scratch), "must be one of: a, bb");
  rules = (struct field_rules){.one_of = OPTIONAL, .one_of_count = 3};
  EXPECT_KEPT(rules_check_text(&rules, SLICE(""), &scratch));
  cr_assert_str_eq(rules_check_text(&rules, SLICE("c"), &scratch), "must be one of: a, bb");
}

Test(rules, an_empty_text_is_a_text_that_formats_admit_outside_of_lists)
{
  struct field_rules rules = {.min_length = 2};
  cr_assert_str_eq(rules_check_text(&rules, SLICE(""), &scratch), "must be at least 2 characters");
  cr_assert_str_eq(rules_check_bytes(&rules, SLICE(""), &scratch), "must be at least 2 bytes");
  rules.min_length = 1;
  cr_assert_str_eq(rules_check_text(&rules, SLICE(""), &scratch), "must not be empty");
  EXPECT_KEPT(rules_check_text(&rules, SLICE("a"), &scratch));
  rules.min_length = 0;
  EXPECT_KEPT(rules_check_text_item(&rules, SLICE(""), &scratch));
  for (enum field_format format = FORMAT_EMAIL; format <= FORMAT_LINE; format++) {
    rules = (struct field_rules){.format = format};
    EXPECT_KEPT(rules_check_text(&rules, SLICE(""), &scratch));
    EXPECT_KEPT(rules_check_text(&rules, (struct slice){0}, &scratch));
    cr_assert_str_eq(rules_check_text_item(&rules, SLICE(""), &scratch), "must not be empty");
  }
  rules = (struct field_rules){.format = FORMAT_CURRENCY};
  EXPECT_KEPT(rules_check_text_item(&rules, SLICE("EUR"), &scratch));
  cr_assert_not_null(rules_check_text_item(&rules, SLICE("eur"), &scratch));
}

Test(rules, bounds_hold_for_every_number)
{
  struct field_rules rules = {.has_minimum = true, .minimum = -2, .has_maximum = true, .maximum = 5};
  EXPECT_KEPT(rules_check_int(&rules, -2, &scratch));
  EXPECT_KEPT(rules_check_int(&rules, 0, &scratch));
  EXPECT_KEPT(rules_check_int(&rules, 5, &scratch));
  EXPECT_KEPT(rules_check_uint(&rules, 5, &scratch));
  EXPECT_KEPT(rules_check_double(&rules, -2.0, &scratch));
  EXPECT_KEPT(rules_check_double(&rules, 5.0, &scratch));
  cr_assert_str_eq(rules_check_int(&rules, -3, &scratch), "must be at least -2");
  cr_assert_str_eq(rules_check_int(&rules, 6, &scratch), "must be at most 5");
  cr_assert_str_eq(rules_check_uint(&rules, 6, &scratch), "must be at most 5");
  cr_assert_str_eq(rules_check_uint(&rules, UINT64_MAX, &scratch), "must be at most 5");
  cr_assert_str_eq(rules_check_double(&rules, 5.5, &scratch), "must be at most 5");
  cr_assert_str_eq(rules_check_double(&rules, -2.5, &scratch), "must be at least -2");
  cr_assert_str_eq(rules_check_double(&rules, (double)__builtin_nanf(""), &scratch), "must be at least -2");
  rules.has_minimum = false;
  cr_assert_str_eq(rules_check_double(&rules, (double)__builtin_nanf(""), &scratch), "must be at most 5");
}

Test(rules, zero_is_a_number)
{
  struct field_rules rules = {.has_minimum = true, .minimum = 5};
  cr_assert_str_eq(rules_check_int(&rules, 0, &scratch), "must be at least 5");
  cr_assert_str_eq(rules_check_uint(&rules, 0, &scratch), "must be at least 5");
  cr_assert_str_eq(rules_check_double(&rules, 0, &scratch), "must be at least 5");
  rules = (struct field_rules){.has_maximum = true, .maximum = -5};
  cr_assert_str_eq(rules_check_int(&rules, 0, &scratch), "must be at most -5");
  cr_assert_str_eq(rules_check_double(&rules, 0, &scratch), "must be at most -5");
}

Test(rules, bounds_reach_as_far_as_the_types_do)
{
  struct field_rules rules = {.has_minimum = true, .minimum = INT64_MIN};
  EXPECT_KEPT(rules_check_int(&rules, INT64_MIN, &scratch));
  EXPECT_KEPT(rules_check_uint(&rules, UINT64_MAX, &scratch));
  rules = (struct field_rules){.has_minimum = true, .minimum = INT64_MAX};
  EXPECT_KEPT(rules_check_int(&rules, INT64_MAX, &scratch));
  EXPECT_KEPT(rules_check_uint(&rules, (uint64_t)INT64_MAX + 1, &scratch));
  cr_assert_str_eq(rules_check_uint(&rules, (uint64_t)INT64_MAX - 1, &scratch), "must be at least 9223372036854775807");
}

Test(rules, counts_of_items)
{
  struct field_rules rules = {.min_items = 2, .max_items = 3};
  EXPECT_KEPT(rules_check_count(&rules, 2, &scratch));
  EXPECT_KEPT(rules_check_count(&rules, 3, &scratch));
  cr_assert_str_eq(rules_check_count(&rules, 0, &scratch), "must have at least 2 items");
  cr_assert_str_eq(rules_check_count(&rules, 1, &scratch), "must have at least 2 items");
  cr_assert_str_eq(rules_check_count(&rules, 4, &scratch), "must have at most 3 items");
  rules.required = true;
  cr_assert_str_eq(rules_check_count(&rules, 0, &scratch), "is required");
  rules = (struct field_rules){0};
  EXPECT_KEPT(rules_check_count(&rules, 0, &scratch));
  EXPECT_KEPT(rules_check_count(&rules, 1000, &scratch));
  cr_assert_str_eq(rules_check_count(&rules, 1001, &scratch), "must have at most 1000 items");
}
