// protobuf-c structs against tables of rules, as a service checks what it received.
#include <criterion/criterion.h>

#include "auth/v1/auth.pb-c.h"
#include "bulkhead/v1/options.pb-c.h"
#include "common/contract/update_mask.h"
#include "common/contract/validate.h"
#include "google/api/http.pb-c.h"
#include "google/protobuf/wrappers.pb-c.h"
#include "item/v1/item.pb-c.h"

static const char *const LOGIN_NAMES[] = {"email", "password", "deviceToken", "deviceName", "User-Agent"};
static const struct message_field_rules LOGIN_FIELDS[5] = {
    {.rules = {.required = true, .format = FORMAT_EMAIL}},
    {.rules = {.required = true, .min_length = 8}},
    {.rules = {.max_length = 128}},
};
static const struct message_rules LOGIN = {
    .descriptor = &auth__v1__login_request__descriptor, .fields = LOGIN_FIELDS, .shown_names = LOGIN_NAMES};

static const char *const ITEM_NAMES[] = {"id",         "ownerId", "sku",        "name",      "description",
                                         "category",   "tags",    "price",      "currency",  "quantity",
                                         "attributes", "etag",    "createTime", "updateTime"};
static const struct message_field_rules ITEM_FIELDS[14] = {
    [0] = {.rules = {.output_only = true, .format = FORMAT_UUID}},
    [1] = {.rules = {.output_only = true, .min_length = 2}},
    [2] = {.rules = {.required = true, .immutable = true}},
    [3] = {.rules = {.required = true}},
    [4] = {.rules = {.min_length = 3}},
    [6] = {.rules = {.max_length = 3, .unique_items = true, .format = FORMAT_LINE}},
    [7] = {.rules = {.format = FORMAT_DECIMAL}},
    [9] = {.rules = {.has_minimum = true, .minimum = -5, .has_maximum = true, .maximum = -1}},
    [12] = {.rules = {.required = true}},
};
static const struct message_rules ITEM = {
    .descriptor = &item__v1__item__descriptor, .fields = ITEM_FIELDS, .shown_names = ITEM_NAMES};
static const char *const BATCH_NAMES[] = {"items"};
static const struct message_field_rules BATCH_FIELDS[] = {
    {.rules = {.required = true, .max_items = 2}, .message = &ITEM}};
static const struct message_rules BATCH = {.descriptor = &item__v1__batch_create_items_request__descriptor,
                                           .fields = BATCH_FIELDS,
                                           .shown_names = BATCH_NAMES};
static const char *const UPDATE_NAMES[] = {"item", "updateMask", "ifMatch", "ifNoneMatch"};
static const struct message_field_rules UPDATE_FIELDS[4] = {
    {.rules = {.required = true}, .message = &ITEM}, {.message = NULL}, {.rules = {.max_length = 4}}};
static const struct message_rules UPDATE = {
    .descriptor = &item__v1__update_item_request__descriptor, .fields = UPDATE_FIELDS, .shown_names = UPDATE_NAMES};

// Fields of HttpRule by number: selector, get, put, post, delete, patch, body, custom, additional_bindings,
// response_body.
static const char *const HTTP_NAMES[] = {
    "selector", "get", "put", "post", "delete", "patch", "body", "custom", "additionalBindings", "responseBody"};
static const struct message_field_rules HTTP_FIELDS[10] = {
    [1] = {.rules = {.min_length = 2}}, [2] = {.rules = {.required = true}}};
static const struct required_oneof HTTP_ONEOFS[] = {{.json_name = "pattern", .field = 4}};
static const struct message_rules HTTP_RULE = {.descriptor = &google__api__http_rule__descriptor,
                                               .fields = HTTP_FIELDS,
                                               .shown_names = HTTP_NAMES,
                                               .required_oneofs = HTTP_ONEOFS,
                                               .required_oneof_count = 1};

static struct arena arena;

static void setup(void)
{
  arena_init(&arena);
}

static void teardown(void)
{
  arena_free(&arena);
}

TestSuite(validate, .init = setup, .fini = teardown);

static void expect_struct(const struct message_rules *rules, const ProtobufCMessage *message, const char *expected)
{
  struct violations violations;
  const char *text = "";
  violations_init(&violations, &arena);
  validate_message(rules, message, &violations);
  for (size_t i = 0; i < violations.count; i++)
    text = arena_printf(&arena, "%s%s" SLICE_FMT ": " SLICE_FMT, text, i == 0 ? "" : "\n",
                        SLICE_ARG(violations.items[i].field), SLICE_ARG(violations.items[i].description));
  cr_expect_str_eq(text, expected, "%s\ninstead of\n%s", text, expected);
}

static char *text_of(const char *text)
{
  return arena_string(&arena, slice_from_string(text));
}

Test(validate, no_rules_allow_everything)
{
  Auth__V1__LoginRequest login = AUTH__V1__LOGIN_REQUEST__INIT;
  expect_struct(NULL, &login.base, "");
}

Test(validate, scalars)
{
  Auth__V1__LoginRequest login = AUTH__V1__LOGIN_REQUEST__INIT;
  expect_struct(&LOGIN, &login.base, "email: is required\npassword: is required");
  login.email = text_of("ada@example.com");
  login.password = text_of("short");
  expect_struct(&LOGIN, &login.base, "password: must be at least 8 characters");
  login.password = NULL;
  expect_struct(&LOGIN, &login.base, "password: is required");
}

// ---- every type ----

// Expects these violations of a message with one field, named value, under these rules.
static void expect_value(const ProtobufCMessage *message, struct field_rules rules, const char *expected)
{
  static const char *const NAMES[] = {"value"};
  const struct message_field_rules fields[] = {{.rules = rules}};
  const struct message_rules table = {.descriptor = message->descriptor, .fields = fields, .shown_names = NAMES};
  expect_struct(&table, message, expected);
}

static const struct field_rules REQUIRED = {.required = true};
static const struct field_rules SET_BY_THE_SERVICE = {
    .output_only = true, .has_minimum = true, .minimum = 5, .min_length = 5};
static const struct field_rules AT_LEAST_5 = {.has_minimum = true, .minimum = 5, .min_length = 5};

static void expect_number(const ProtobufCMessage *zero, const ProtobufCMessage *four, const ProtobufCMessage *five)
{
  expect_value(zero, REQUIRED, "value: is required");
  expect_value(zero, SET_BY_THE_SERVICE, "");
  expect_value(zero, AT_LEAST_5, "value: must be at least 5");
  expect_value(four, REQUIRED, "");
  expect_value(four, SET_BY_THE_SERVICE, "value: must be at least 5");
  expect_value(four, AT_LEAST_5, "value: must be at least 5");
  expect_value(five, AT_LEAST_5, "");
}

#define EXPECT_NUMBER(TYPE, INIT)                                                                                      \
  do {                                                                                                                 \
    TYPE zero, four, five;                                                                                             \
    INIT(&zero);                                                                                                       \
    INIT(&four);                                                                                                       \
    INIT(&five);                                                                                                       \
    four.value = 4;                                                                                                    \
    five.value = 5;                                                                                                    \
    expect_number(&zero.base, &four.base, &five.base);                                                                 \
  } while (0)

Test(validate, numbers_of_every_width)
{
  EXPECT_NUMBER(Google__Protobuf__DoubleValue, google__protobuf__double_value__init);
  EXPECT_NUMBER(Google__Protobuf__FloatValue, google__protobuf__float_value__init);
  EXPECT_NUMBER(Google__Protobuf__Int64Value, google__protobuf__int64_value__init);
  EXPECT_NUMBER(Google__Protobuf__UInt64Value, google__protobuf__uint64_value__init);
  EXPECT_NUMBER(Google__Protobuf__Int32Value, google__protobuf__int32_value__init);
  EXPECT_NUMBER(Google__Protobuf__UInt32Value, google__protobuf__uint32_value__init);
}

Test(validate, numbers_at_the_ends_of_their_types)
{
  struct field_rules negative = {.has_maximum = true, .maximum = -1};
  struct field_rules positive = {.has_minimum = true, .minimum = 1};
  Google__Protobuf__Int32Value least32 = GOOGLE__PROTOBUF__INT32_VALUE__INIT;
  Google__Protobuf__Int64Value least64 = GOOGLE__PROTOBUF__INT64_VALUE__INIT;
  Google__Protobuf__UInt32Value most32 = GOOGLE__PROTOBUF__UINT32_VALUE__INIT;
  Google__Protobuf__UInt64Value most64 = GOOGLE__PROTOBUF__UINT64_VALUE__INIT;
  least32.value = INT32_MIN;
  least64.value = INT64_MIN;
  most32.value = UINT32_MAX;
  most64.value = UINT64_MAX;
  expect_value(&least32.base, negative, "");
  expect_value(&least64.base, negative, "");
  expect_value(&most32.base, positive, "");
  expect_value(&most64.base, positive, "");
}

Test(validate, bytes_are_measured_in_bytes)
{
  uint8_t data[] = {0, 0xFF, 0, 1, 2};
  Google__Protobuf__BytesValue bytes = GOOGLE__PROTOBUF__BYTES_VALUE__INIT;
  expect_value(&bytes.base, REQUIRED, "value: is required");
  expect_value(&bytes.base, SET_BY_THE_SERVICE, "");
  expect_value(&bytes.base, AT_LEAST_5, "value: must be at least 5 bytes");
  // Bytes of no length are empty wherever they point.
  bytes.value = (ProtobufCBinaryData){.data = data, .len = 0};
  expect_value(&bytes.base, REQUIRED, "value: is required");
  expect_value(&bytes.base, SET_BY_THE_SERVICE, "");
  bytes.value = (ProtobufCBinaryData){.data = data, .len = 4};
  expect_value(&bytes.base, REQUIRED, "");
  expect_value(&bytes.base, AT_LEAST_5, "value: must be at least 5 bytes");
  bytes.value.len = 5;
  expect_value(&bytes.base, AT_LEAST_5, "");
}

Test(validate, numbers_of_enums_are_known_where_a_rule_says_so)
{
  static const char *const NAMES[] = {"code", "reason", "detail"};
  static const struct message_field_rules FIELDS[3] = {{.rules = {.required = true, .defined_only = true}}};
  static const struct message_field_rules OPEN[3] = {{.rules = {.required = true}}};
  const struct message_rules table = {
      .descriptor = &bulkhead__v1__method_error__descriptor, .fields = FIELDS, .shown_names = NAMES};
  const struct message_rules open = {
      .descriptor = &bulkhead__v1__method_error__descriptor, .fields = OPEN, .shown_names = NAMES};
  Bulkhead__V1__MethodError error = BULKHEAD__V1__METHOD_ERROR__INIT;
  expect_struct(&table, &error.base, "code: is required");
  error.code = BULKHEAD__V1__CODE__CODE_NOT_FOUND;
  expect_struct(&table, &error.base, "");
  error.code = (Bulkhead__V1__Code)99;
  expect_struct(
      &table, &error.base,
      "code: must be one of: CODE_UNSPECIFIED, CODE_INVALID_ARGUMENT, CODE_NOT_FOUND, CODE_ALREADY_EXISTS, "
      "CODE_PERMISSION_DENIED, CODE_RESOURCE_EXHAUSTED, CODE_FAILED_PRECONDITION, CODE_ABORTED, CODE_OUT_OF_RANGE, "
      "CODE_UNIMPLEMENTED, CODE_UNAVAILABLE, CODE_UNAUTHENTICATED");
  expect_struct(&open, &error.base, "");
}

// ---- messages and lists ----

static Item__V1__Item *make_item(void)
{
  static const Google__Protobuf__Timestamp NEVER = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
  static const Item__V1__Item EMPTY = ITEM__V1__ITEM__INIT;
  Item__V1__Item *item = arena_alloc(&arena, sizeof(*item));
  *item = EMPTY;
  item->sku = text_of("S");
  item->name = text_of("n");
  item->description = text_of("abc");
  item->quantity = -1;
  item->create_time = arena_alloc(&arena, sizeof(NEVER));
  *item->create_time = NEVER;
  return item;
}

Test(validate, nested_messages_and_lists)
{
  char *tags[] = {text_of("tag"), text_of("long"), text_of("tag"), text_of("")};
  Item__V1__Item *second = make_item();
  Item__V1__Item *items[] = {make_item(), second, make_item()};
  Item__V1__BatchCreateItemsRequest batch = ITEM__V1__BATCH_CREATE_ITEMS_REQUEST__INIT;
  expect_struct(&BATCH, &batch.base, "items: is required");
  second->name = text_of("\xff");
  second->quantity = -6;
  second->tags = tags;
  second->n_tags = 4;
  batch.items = items;
  batch.n_items = 2;
  expect_struct(&BATCH, &batch.base,
                "items[1].name: must be valid UTF-8\n"
                "items[1].tags[1]: must be at most 3 characters\n"
                "items[1].tags[3]: must not be empty\n"
                "items[1].tags[2]: must not be the same as an item before it\n"
                "items[1].quantity: must be at least -5");
  batch.n_items = 3;
  expect_struct(&BATCH, &batch.base, "items: must have at most 2 items");
}

Test(validate, what_is_left_out_is_held_for_its_default)
{
  Item__V1__Item item = ITEM__V1__ITEM__INIT;
  expect_struct(&ITEM, &item.base,
                "sku: is required\n"
                "name: is required\n"
                "description: must be at least 3 characters\n"
                "quantity: must be at most -1\n"
                "createTime: is required");
  expect_struct(&ITEM, &make_item()->base, "");
}

Test(validate, what_the_service_sets_is_held_only_when_it_is_there)
{
  Item__V1__Item *item = make_item();
  item->id = text_of("7");
  item->owner_id = text_of("x");
  expect_struct(&ITEM, &item->base,
                "id: must be a UUID, such as 01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6b\n"
                "ownerId: must be at least 2 characters");
}

// ---- oneofs ----

Test(validate, a_required_oneof_needs_one_of_its_fields)
{
  Google__Api__HttpRule rule = GOOGLE__API__HTTP_RULE__INIT;
  expect_struct(&HTTP_RULE, &rule.base,
                "put: is required\n"
                "pattern: one of its fields is required: get, put, post, delete, patch, custom");
  rule.pattern_case = GOOGLE__API__HTTP_RULE__PATTERN_PUT;
  rule.put = text_of("");
  expect_struct(&HTTP_RULE, &rule.base, "");
  rule.pattern_case = GOOGLE__API__HTTP_RULE__PATTERN_DELETE;
  expect_struct(&HTTP_RULE, &rule.base, "put: is required");
}

Test(validate, a_member_of_a_oneof_is_held_when_it_is_the_one_that_is_set)
{
  Google__Api__HttpRule rule = GOOGLE__API__HTTP_RULE__INIT;
  rule.pattern_case = GOOGLE__API__HTTP_RULE__PATTERN_GET;
  rule.get = text_of("");
  expect_struct(&HTTP_RULE, &rule.base, "get: must be at least 2 characters\nput: is required");
  rule.get = text_of("/a");
  expect_struct(&HTTP_RULE, &rule.base, "put: is required");
}

// ---- updates ----

// Expects these violations of an update of an empty item whose mask has these paths, separated by spaces; NULL for no
// mask.
static void expect_update(const char *paths, Item__V1__Item *item, const char *expected)
{
  Item__V1__UpdateItemRequest request = ITEM__V1__UPDATE_ITEM_REQUEST__INIT;
  Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
  char *list[8];
  struct slice text = slice_from_string(paths == NULL ? "" : paths);
  mask.paths = list;
  for (size_t start = 0, end; start < text.size; start = end + 1) {
    end = slice_find(text, ' ', start);
    list[mask.n_paths++] = arena_string(&arena, slice_make(text.data + start, end - start));
  }
  request.item = item;
  request.update_mask = paths == NULL ? NULL : &mask;
  expect_struct(&UPDATE, &request.base, expected);
}

Test(validate, an_update_is_held_for_what_its_mask_names)
{
  Item__V1__Item item = ITEM__V1__ITEM__INIT;
  expect_update("", &item, "");
  expect_update("category", &item, "");
  expect_update("name quantity", &item, "item.name: is required\nitem.quantity: must be at most -1");
  expect_update("names quantit", &item, "");
  expect_update("create_time.seconds", &item, "item.createTime: is required");
  expect_update("name", NULL, "item: is required");
}

Test(validate, an_update_without_a_mask_or_of_everything_leaves_immutable_fields_alone)
{
  Item__V1__Item *item = make_item();
  item->sku = text_of("");
  expect_update(NULL, item, "");
  expect_update("*", item, "");
  item->name = text_of("");
  expect_update(NULL, item, "item.name: is required");
  expect_update("category *", item, "item.name: is required");
}

Test(validate, an_update_may_not_name_an_immutable_field)
{
  expect_update("sku", make_item(), "item.sku: " UPDATE_MASK_IMMUTABLE);
  expect_update("name sku", make_item(), "item.sku: " UPDATE_MASK_IMMUTABLE);
  Item__V1__Item *item = make_item();
  expect_struct(&ITEM, &item->base, "");
}

Test(validate, an_update_is_always_held_for_what_it_updates)
{
  Item__V1__Item *item = make_item();
  item->id = text_of("7");
  expect_update("name", item, "item.id: must be a UUID, such as 01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6b");
}

Test(validate, the_mask_is_about_the_message_beside_it_only)
{
  Item__V1__UpdateItemRequest request = ITEM__V1__UPDATE_ITEM_REQUEST__INIT;
  Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
  request.item = make_item();
  request.update_mask = &mask;
  request.if_match = text_of("too long");
  expect_struct(&UPDATE, &request.base, "ifMatch: must be at most 4 characters");
}
