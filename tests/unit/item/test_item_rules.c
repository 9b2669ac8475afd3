// Rules of items: what is sound, what a change touches, orders, page tokens.
#include <criterion/criterion.h>
#include <string.h>

#include "common/base/codec.h"
#include "common/base/utf8.h"
#include "common/service/resource.h"
#include "services/item/item_rules.h"

#define ID "01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6b"
#define OWNER "01936b5e-0000-7d3e-9f00-1c2d3e4f5a6b"

static struct arena arena;

static void setup(void)
{
  arena_init(&arena);
}

static void teardown(void)
{
  arena_free(&arena);
}

TestSuite(item_rules, .init = setup, .fini = teardown);

static Item__V1__Item item_of(char *sku, char *name, char *price, char *currency)
{
  Item__V1__Item item = ITEM__V1__ITEM__INIT;
  item.sku = sku;
  item.name = name;
  item.price = price;
  item.currency = currency;
  return item;
}

// ---- soundness ----

Test(item_rules, an_item_needs_a_sku_and_a_name_and_price_and_currency_go_together)
{
  static const struct {
    char *sku, *name, *price, *currency;
    const char *field;  // at fault, NULL for none
  } cases[] = {
      {"S", "N", "", "", NULL},
      {"S", "N", "12.50", "EUR", NULL},
      {"S", "N", "0", "EUR", NULL},
      {"S", "N", "0.00", "JPY", NULL},
      {"", "N", "", "", "sku"},
      {"S", "", "", "", "name"},
      {"S", "N", "1", "", "currency"},
      {"S", "N", "", "EUR", "price"},
      {"S", "N", "-1", "EUR", "price"},
      {"S", "N", "-1", "", "price"},
      {"S", "N", "-0.01", "EUR", "price"},
  };
  for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
    Item__V1__Item item = item_of(cases[i].sku, cases[i].name, cases[i].price, cases[i].currency);
    struct item_problem problem = item_rules_check(&item);
    if (cases[i].field == NULL) {
      cr_expect_null(problem.text, "case %zu: %s %s", i, problem.field, problem.text);
      continue;
    }
    cr_assert_not_null(problem.text, "case %zu", i);
    cr_expect_str_eq(problem.field, cases[i].field, "case %zu", i);
  }
}

// ---- changes ----

static char *old_tags[] = {"old"};
static char *new_tags[] = {"new", "newer"};

static Item__V1__Item old_item(void)
{
  Item__V1__Item item = item_of("old-sku", "old name", "1", "EUR");
  item.id = ID;
  item.owner_id = OWNER;
  item.description = "old description";
  item.category = "old category";
  item.tags = old_tags;
  item.n_tags = 1;
  item.quantity = 1;
  item.attributes = "{\"old\":1}";
  item.etag = "7";
  item.create_time = resource_time(1000000, &arena);
  item.update_time = resource_time(2000000, &arena);
  return item;
}

static Item__V1__Item new_item(void)
{
  Item__V1__Item item = item_of("new-sku", "new name", "2", "USD");
  item.id = "00000000-0000-7000-8000-000000000000";
  item.owner_id = "00000000-0000-7000-8000-000000000001";
  item.description = "new description";
  item.category = "new category";
  item.tags = new_tags;
  item.n_tags = 2;
  item.quantity = 2;
  item.attributes = "{\"new\":2}";
  item.etag = "8";
  return item;
}

enum field {
  SKU = 1,
  NAME = 2,
  DESCRIPTION = 4,
  CATEGORY = 8,
  TAGS = 16,
  PRICE = 32,
  CURRENCY = 64,
  QUANTITY = 128,
  ATTRIBUTES = 256,
  ALL = 511,
};

static const struct {
  char *path;
  enum field field;
} paths[] = {
    {"sku", SKU},     {"name", NAME},         {"description", DESCRIPTION}, {"category", CATEGORY},     {"tags", TAGS},
    {"price", PRICE}, {"currency", CURRENCY}, {"quantity", QUANTITY},       {"attributes", ATTRIBUTES},
};

// Which fields are the new ones; the service's own must never be.
static unsigned changed(const Item__V1__Item *item)
{
  const Item__V1__Item new = new_item();
  cr_expect_str_eq(item->id, ID);
  cr_expect_str_eq(item->owner_id, OWNER);
  cr_expect_str_eq(item->etag, "7");
  cr_expect_eq(resource_micros(item->create_time), 1000000);
  cr_expect_eq(resource_micros(item->update_time), 2000000);
  cr_expect_eq(item->tags == new_tags ? 2 : 1, item->n_tags);
  unsigned fields = item->tags == new_tags ? TAGS : 0;
  fields |= strcmp(item->sku, new.sku) == 0 ? SKU : 0;
  fields |= strcmp(item->name, new.name) == 0 ? NAME : 0;
  fields |= strcmp(item->description, new.description) == 0 ? DESCRIPTION : 0;
  fields |= strcmp(item->category, new.category) == 0 ? CATEGORY : 0;
  fields |= strcmp(item->price, new.price) == 0 ? PRICE : 0;
  fields |= strcmp(item->currency, new.currency) == 0 ? CURRENCY : 0;
  fields |= item->quantity == new.quantity ? QUANTITY : 0;
  fields |= strcmp(item->attributes, new.attributes) == 0 ? ATTRIBUTES : 0;
  return fields;
}

static unsigned changed_by(const Google__Protobuf__FieldMask *mask)
{
  Item__V1__Item item = old_item();
  const Item__V1__Item change = new_item();
  cr_expect_null(item_rules_merge(&item, &change, mask));
  return changed(&item);
}

static unsigned changed_by_paths(char **list, size_t count)
{
  Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
  mask.paths = list;
  mask.n_paths = count;
  return changed_by(&mask);
}

Test(item_rules, each_field_is_changed_by_its_name_and_no_other)
{
  for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
    char *path = paths[i].path;
    cr_expect_eq(changed_by_paths(&path, 1), paths[i].field, "%s", path);
  }
  cr_expect_eq(changed_by_paths((char *[]){"price", "currency"}, 2), PRICE | CURRENCY);
}

Test(item_rules, no_mask_and_a_star_change_all_an_empty_mask_nothing)
{
  cr_expect_eq(changed_by(NULL), ALL);
  cr_expect_eq(changed_by_paths((char *[]){"*"}, 1), ALL);
  cr_expect_eq(changed_by_paths(NULL, 0), 0);
}

// A client sends back what it read.
Test(item_rules, what_the_service_sets_may_be_named_and_stays)
{
  static char *own[] = {"id", "owner_id", "etag", "create_time", "update_time"};
  cr_expect_eq(changed_by_paths(own, ARRAY_LEN(own)), 0);
}

Test(item_rules, a_path_that_names_no_field_is_given_back)
{
  static char *wrong[] = {"", "Sku", "colour", "attributes.colour", "ownerId", "sku "};
  for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
    Item__V1__Item item = old_item();
    const Item__V1__Item change = new_item();
    Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
    char *list[] = {"name", wrong[i]};
    mask.paths = list;
    mask.n_paths = 2;
    const char *unknown = item_rules_merge(&item, &change, &mask);
    cr_assert_not_null(unknown, "\"%s\"", wrong[i]);
    cr_expect_str_eq(unknown, wrong[i]);
  }
}

// ---- orders ----

Test(item_rules, orders_as_the_contract_lists_them)
{
  static const struct {
    const char *text;
    enum item_order order;
    bool descending;
  } cases[] = {
      {"", ITEM_ORDER_CREATE_TIME, true},
      {"createTime", ITEM_ORDER_CREATE_TIME, false},
      {"createTime asc", ITEM_ORDER_CREATE_TIME, false},
      {"createTime desc", ITEM_ORDER_CREATE_TIME, true},
      {"updateTime", ITEM_ORDER_UPDATE_TIME, false},
      {"updateTime asc", ITEM_ORDER_UPDATE_TIME, false},
      {"updateTime desc", ITEM_ORDER_UPDATE_TIME, true},
      {"name", ITEM_ORDER_NAME, false},
      {"name asc", ITEM_ORDER_NAME, false},
      {"name desc", ITEM_ORDER_NAME, true},
      {"quantity", ITEM_ORDER_QUANTITY, false},
      {"quantity asc", ITEM_ORDER_QUANTITY, false},
      {"quantity desc", ITEM_ORDER_QUANTITY, true},
  };
  for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
    enum item_order order = ITEM_ORDERS;
    bool descending = !cases[i].descending;
    item_rules_parse_order(cases[i].text, &order, &descending);
    cr_expect_eq(order, cases[i].order, "\"%s\"", cases[i].text);
    cr_expect_eq(descending, cases[i].descending, "\"%s\"", cases[i].text);
  }
}

// ---- page tokens ----

static const struct {
  const char *value;  // of the item below in this order
} order_values[ITEM_ORDERS] = {
    [ITEM_ORDER_CREATE_TIME] = {"-1"},
    [ITEM_ORDER_UPDATE_TIME] = {"1700000000123456"},
    [ITEM_ORDER_NAME] = {"L\xc3\xa4mp\n\"1\""},
    [ITEM_ORDER_QUANTITY] = {"2147483647"},
};

static Item__V1__Item last_item(void)
{
  Item__V1__Item item = item_of("S", "L\xc3\xa4mp\n\"1\"", "", "");
  item.id = ID;
  item.quantity = INT32_MAX;
  item.create_time = resource_time(-1, &arena);
  item.update_time = resource_time(INT64_C(1700000000123456), &arena);
  return item;
}

static const char *token_for(const struct item_query *query)
{
  const Item__V1__Item last = last_item();
  return item_rules_write_token(query, &last, &arena);
}

static bool reads(const char *token, const struct item_query *query)
{
  struct item_query copy = *query;
  return item_rules_read_token(token, &copy, &arena);
}

Test(item_rules, a_page_token_names_the_place_in_every_order)
{
  for (int order = 0; order < ITEM_ORDERS; order++) {
    for (int descending = 0; descending < 2; descending++) {
      struct item_query query = {.order = (enum item_order)order, .descending = descending != 0};
      cr_assert(item_rules_read_token(token_for(&query), &query, &arena), "order %d", order);
      cr_expect_str_eq(query.after_value, order_values[order].value);
      cr_expect_str_eq(query.after_id, ID);
    }
  }
}

Test(item_rules, a_page_token_of_another_list_is_refused)
{
  // No two of these are the same list.
  static const struct item_query queries[] = {
      {.order = ITEM_ORDER_NAME},
      {.order = ITEM_ORDER_NAME, .descending = true},
      {.order = ITEM_ORDER_CREATE_TIME},
      {.order = ITEM_ORDER_UPDATE_TIME},
      {.order = ITEM_ORDER_QUANTITY},
      {.order = ITEM_ORDER_NAME, .category = "a"},
      {.order = ITEM_ORDER_NAME, .category = "b"},
      {.order = ITEM_ORDER_NAME, .tag = "a"},
      {.order = ITEM_ORDER_NAME, .owner_id = "a"},
      {.order = ITEM_ORDER_NAME, .words = "a"},
      {.order = ITEM_ORDER_NAME, .category = "a", .tag = "b"},
      {.order = ITEM_ORDER_NAME, .category = "ab"},
      {.order = ITEM_ORDER_NAME, .category = "ab", .tag = ""},
      {.order = ITEM_ORDER_NAME, .category = "asb"},
  };
  for (size_t i = 0; i < ARRAY_LEN(queries); i++) {
    const char *token = token_for(&queries[i]);
    for (size_t k = 0; k < ARRAY_LEN(queries); k++)
      cr_expect_eq(reads(token, &queries[k]), i == k, "a token of %zu for %zu", i, k);
  }
}

Test(item_rules, the_size_of_the_page_may_change_from_page_to_page)
{
  struct item_query query = {.order = ITEM_ORDER_NAME, .limit = 10};
  const char *token = token_for(&query);
  query.limit = 20;
  cr_expect(reads(token, &query));
}

// Every place that a token names must be one that SQL takes, whoever wrote the token.
static void expect_sound_place(const struct item_query *query)
{
  int64_t number = 0;
  struct slice value = slice_from_string(query->after_value);
  switch (query->order) {
  case ITEM_ORDER_NAME:
    cr_expect(utf8_valid(value));
    break;
  case ITEM_ORDER_QUANTITY:
    cr_expect(slice_to_int64(value, 0, INT32_MAX, &number), "%s", query->after_value);
    break;
  default:
    cr_expect(resource_parse_micros(value, &number), "%s", query->after_value);
    break;
  }
  cr_expect_eq(strspn(query->after_id, "0123456789abcdefABCDEF-"), strlen(ID), "%s", query->after_id);
}

Test(item_rules, a_page_token_with_any_bit_flipped_is_refused_or_names_a_place)
{
  struct strbuf wire, text;
  strbuf_init(&wire, 0);
  strbuf_init(&text, 0);
  for (int order = 0; order < ITEM_ORDERS; order++) {
    const struct item_query query = {.order = (enum item_order)order, .category = "a"};
    strbuf_clear(&wire);
    cr_assert(base64_decode(slice_from_string(token_for(&query)), &wire));
    for (size_t bit = 0; bit < wire.size * 8; bit++) {
      wire.data[bit / 8] = (char)(wire.data[bit / 8] ^ (1 << bit % 8));
      strbuf_clear(&text);
      base64url_encode(strbuf_slice(&wire), &text);
      wire.data[bit / 8] = (char)(wire.data[bit / 8] ^ (1 << bit % 8));
      struct item_query copy = query;
      if (item_rules_read_token(strbuf_cstring(&text), &copy, &arena))
        expect_sound_place(&copy);
    }
  }
  strbuf_free(&wire);
  strbuf_free(&text);
}

// A client that makes its own tokens: the fingerprint is no secret.
static bool takes_value(enum item_order order, struct slice value)
{
  struct item_query query = {.order = order};
  struct strbuf wire;
  strbuf_init(&wire, 0);
  cr_assert(base64_decode(slice_from_string(token_for(&query)), &wire));
  uint64_t fingerprint = 0;
  for (int i = 8; i >= 1; i--)
    fingerprint = fingerprint << 8 | (unsigned char)wire.data[i];
  strbuf_free(&wire);
  return reads(resource_write_page_token(fingerprint, value, SLICE(ID), &arena), &query);
}

Test(item_rules, the_value_of_a_page_token_fits_its_column)
{
  cr_expect(takes_value(ITEM_ORDER_QUANTITY, SLICE("0")));
  cr_expect(takes_value(ITEM_ORDER_QUANTITY, SLICE("2147483647")));
  cr_expect_not(takes_value(ITEM_ORDER_QUANTITY, SLICE("2147483648")));
  cr_expect_not(takes_value(ITEM_ORDER_QUANTITY, SLICE("-1")));
  cr_expect_not(takes_value(ITEM_ORDER_QUANTITY, SLICE("")));
  cr_expect_not(takes_value(ITEM_ORDER_QUANTITY, SLICE("1\0")));
  cr_expect(takes_value(ITEM_ORDER_CREATE_TIME, SLICE("0")));
  cr_expect_not(takes_value(ITEM_ORDER_CREATE_TIME, SLICE("253402300800000000")));
  cr_expect_not(takes_value(ITEM_ORDER_UPDATE_TIME, SLICE("now")));
  cr_expect(takes_value(ITEM_ORDER_NAME, SLICE("")));
  cr_expect(takes_value(ITEM_ORDER_NAME, SLICE("any text")));
  cr_expect_not(takes_value(ITEM_ORDER_NAME, SLICE("a\0b")));
  cr_expect_not(takes_value(ITEM_ORDER_NAME, SLICE("\xff")));
}

Test(item_rules, what_is_no_page_token_is_refused)
{
  static const char *const wrong[] = {"", "x", "AAAA", "null", ID, "===="};
  const struct item_query query = {.order = ITEM_ORDER_NAME};
  for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
    cr_expect_not(reads(wrong[i], &query), "%s", wrong[i]);
  const char *token = token_for(&query);
  for (size_t size = 0; size < strlen(token); size++)
    cr_expect_not(reads(arena_string(&arena, slice_make(token, size)), &query), "%zu", size);
}
