// Single values against rules, and protobuf-c structs against tables of them.
#include <criterion/criterion.h>

#include "auth/v1/auth.pb-c.h"
#include "common/contract/rules.h"
#include "common/contract/validate.h"
#include "item/v1/item.pb-c.h"

static void expect_texts(enum field_format format, const char *const *texts, size_t count, bool valid)
{
  struct field_rules rules = {.format = format};
  struct strbuf scratch = {0};
  for (size_t i = 0; i < count; i++)
    cr_expect((rules_check_text(&rules, slice_from_string(texts[i]), &scratch) == NULL) == valid, "%s", texts[i]);
  strbuf_free(&scratch);
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

Test(rules, texts)
{
  static const char *const ALLOWED[] = {"a", "bb"};
  struct strbuf scratch = {0};
  struct field_rules rules = {.min_length = 2, .max_length = 3};
  cr_assert(rules_check_text(&rules, SLICE(""), &scratch) == NULL);
  cr_assert(rules_check_text(&rules, SLICE("\xc3\xa9\xc3\xa9\xc3\xa9"), &scratch) == NULL);
  cr_assert_str_eq(rules_check_text(&rules, SLICE("\xc3\xa9"), &scratch), "must be at least 2 characters");
  cr_assert_str_eq(rules_check_text(&rules, SLICE("abcd"), &scratch), "must be at most 3 characters");
  cr_assert_str_eq(rules_check_text(&rules, SLICE("a\xff"), &scratch), "must be valid UTF-8");
  cr_assert_str_eq(rules_check_text(&rules, SLICE("a\0b"), &scratch), "must not contain the character U+0000");
  rules = (struct field_rules){.required = true, .one_of = ALLOWED, .one_of_count = 2};
  cr_assert_str_eq(rules_check_text(&rules, SLICE(""), &scratch), "is required");
  cr_assert_str_eq(rules_check_text(&rules, SLICE("b"), &scratch), "must be one of: a, bb");
  cr_assert(rules_check_text(&rules, SLICE("bb"), &scratch) == NULL);
  rules = (struct field_rules){.max_length = 2};
  cr_assert_str_eq(rules_check_bytes(&rules, SLICE("\xc3\xa9\xff"), &scratch), "must be at most 2 bytes");
  strbuf_free(&scratch);
}

Test(rules, numbers_and_counts)
{
  struct strbuf scratch = {0};
  struct field_rules rules = {.has_minimum = true, .minimum = -2, .has_maximum = true, .maximum = 5};
  cr_assert(rules_check_int(&rules, -2, &scratch) == NULL && rules_check_int(&rules, 5, &scratch) == NULL);
  cr_assert_str_eq(rules_check_int(&rules, -3, &scratch), "must be at least -2");
  cr_assert_str_eq(rules_check_uint(&rules, UINT64_MAX, &scratch), "must be at most 5");
  cr_assert_str_eq(rules_check_double(&rules, 5.5, &scratch), "must be at most 5");
  cr_assert_str_eq(rules_check_double(&rules, (double)__builtin_nanf(""), &scratch), "must be at least -2");
  rules = (struct field_rules){.required = true, .min_items = 2, .max_items = 3};
  cr_assert_str_eq(rules_check_count(&rules, 0, &scratch), "is required");
  cr_assert_str_eq(rules_check_count(&rules, 1, &scratch), "must have at least 2 items");
  cr_assert_str_eq(rules_check_count(&rules, 4, &scratch), "must have at most 3 items");
  cr_assert_str_eq(rules_check_int(&rules, 0, &scratch), "is required");
  rules = (struct field_rules){0};
  cr_assert_str_eq(rules_check_count(&rules, 1001, &scratch), "must have at most 1000 items");
  strbuf_free(&scratch);
}

// ---- protobuf-c structs ----

static const char *const LOGIN_NAMES[] = {"email", "password"};
static const struct message_field_rules LOGIN_FIELDS[] = {
    {.rules = {.required = true, .format = FORMAT_EMAIL}},
    {.rules = {.required = true, .min_length = 8}},
};
static const struct message_rules LOGIN = {
    .descriptor = &auth__v1__login_request__descriptor, .fields = LOGIN_FIELDS, .json_names = LOGIN_NAMES};

static const char *const ITEM_NAMES[] = {"id",         "ownerId", "sku",        "name",      "description",
                                         "category",   "tags",    "price",      "currency",  "quantity",
                                         "attributes", "etag",    "createTime", "updateTime"};
static const struct message_field_rules ITEM_FIELDS[14] = {
    [3] = {.rules = {.required = true}},
    [6] = {.rules = {.max_length = 3, .unique_items = true}},
    [9] = {.rules = {.has_minimum = true}},
};
static const struct message_rules ITEM = {
    .descriptor = &item__v1__item__descriptor, .fields = ITEM_FIELDS, .json_names = ITEM_NAMES};
static const char *const BATCH_NAMES[] = {"items"};
static const struct message_field_rules BATCH_FIELDS[] = {
    {.rules = {.required = true, .max_items = 2}, .message = &ITEM}};
static const struct message_rules BATCH = {
    .descriptor = &item__v1__batch_create_items_request__descriptor, .fields = BATCH_FIELDS, .json_names = BATCH_NAMES};

static void expect_struct(const struct message_rules *rules, const ProtobufCMessage *message, const char *expected)
{
  struct arena arena = {0};
  struct violations violations;
  const char *text = "";
  violations_init(&violations, &arena);
  validate_message(rules, message, &violations);
  for (size_t i = 0; i < violations.count; i++)
    text = arena_printf(&arena, "%s%s" SLICE_FMT ": " SLICE_FMT, text, i == 0 ? "" : "\n",
                        SLICE_ARG(violations.items[i].field), SLICE_ARG(violations.items[i].description));
  cr_assert_str_eq(text, expected);
  arena_free(&arena);
}

Test(validate, scalars)
{
  Auth__V1__LoginRequest login = AUTH__V1__LOGIN_REQUEST__INIT;
  expect_struct(&LOGIN, &login.base, "email: is required\npassword: is required");
  expect_struct(NULL, &login.base, "");
  login.email = (char *)(uintptr_t) "ada@example.com";
  login.password = (char *)(uintptr_t) "short";
  expect_struct(&LOGIN, &login.base, "password: must be at least 8 characters");
  login.password = NULL;
  expect_struct(&LOGIN, &login.base, "password: is required");
}

Test(validate, nested_messages_and_lists)
{
  char same[] = "tag";
  char longer[] = "long";
  char name[] = "n";
  char bad[] = "\xff";
  char *tags[] = {same, longer, same};
  Item__V1__Item first = ITEM__V1__ITEM__INIT;
  Item__V1__Item second = ITEM__V1__ITEM__INIT;
  Item__V1__Item *items[] = {&first, &second, &first};
  Item__V1__BatchCreateItemsRequest batch = ITEM__V1__BATCH_CREATE_ITEMS_REQUEST__INIT;
  expect_struct(&BATCH, &batch.base, "items: is required");
  first.name = name;
  second.name = bad;
  second.quantity = -1;
  second.tags = tags;
  second.n_tags = 3;
  batch.items = items;
  batch.n_items = 2;
  expect_struct(&BATCH, &batch.base,
                "items[1].name: must be valid UTF-8\n"
                "items[1].tags[1]: must be at most 3 characters\n"
                "items[1].tags[2]: must not be the same as an item before it\n"
                "items[1].quantity: must be at least 0");
  batch.n_items = 3;
  expect_struct(&BATCH, &batch.base, "items: must have at most 2 items");
}
