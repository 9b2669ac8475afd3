// Lists of items: orders, and which page tokens hold for which list.
#include <criterion/criterion.h>
#include <string.h>

#include "common/base/codec.h"
#include "common/base/utf8.h"
#include "common/service/page_token_internal.h"
#include "item/queries.bh.h"

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

TestSuite(item_list, .init = setup, .fini = teardown);

static Item__V1__ListItemsRequest request_of(char *order_by)
{
  Item__V1__ListItemsRequest request = ITEM__V1__LIST_ITEMS_REQUEST__INIT;
  request.order_by = order_by;
  return request;
}

static bool read_page(const Item__V1__ListItemsRequest *request, struct query_page *page)
{
  return query_list_read(&item_db_list, &request->base, &arena, page);
}

static struct query_page page_of(const Item__V1__ListItemsRequest *request)
{
  struct query_page page;
  cr_assert(read_page(request, &page));
  return page;
}

// ---- orders ----

enum order { CREATE_TIME, UPDATE_TIME, NAME, QUANTITY, ORDERS };
static char *const order_names[ORDERS] = {"createTime", "updateTime", "name", "quantity"};

Test(item_list, orders_as_the_contract_lists_them)
{
  static const struct {
    char *text;
    enum order order;
    bool descending;
  } cases[] = {
      {"", CREATE_TIME, true},
      {"createTime", CREATE_TIME, false},
      {"createTime asc", CREATE_TIME, false},
      {"createTime desc", CREATE_TIME, true},
      {"updateTime", UPDATE_TIME, false},
      {"updateTime asc", UPDATE_TIME, false},
      {"updateTime desc", UPDATE_TIME, true},
      {"name", NAME, false},
      {"name asc", NAME, false},
      {"name desc", NAME, true},
      {"quantity", QUANTITY, false},
      {"quantity asc", QUANTITY, false},
      {"quantity desc", QUANTITY, true},
  };
  for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
    const Item__V1__ListItemsRequest request = request_of(cases[i].text);
    struct query_page page = page_of(&request);
    cr_expect_eq(page.order, (size_t)cases[i].order, "\"%s\"", cases[i].text);
    cr_expect_eq(page.descending, cases[i].descending, "\"%s\"", cases[i].text);
  }
}

Test(item_list, a_page_has_fifty_items_where_the_request_says_nothing)
{
  Item__V1__ListItemsRequest request = request_of("");
  cr_expect_eq(page_of(&request).size, 50);
  request.page_size = 7;
  cr_expect_eq(page_of(&request).size, 7);
}

Test(item_list, an_order_that_the_list_does_not_have_is_refused_by_name)
{
  static char *const wrong[] = {
      "colour",           "createTimes", "create_time",     "name up", "name  desc", "name descending",
      "createTime desc ", " name",       "createTime,name", "NAME",    "nam"};
  for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
    const Item__V1__ListItemsRequest request = request_of(wrong[i]);
    struct query_page page;
    cr_expect_not(read_page(&request, &page), "%s", wrong[i]);
    cr_expect_str_eq(page.refusal.field, "orderBy");
    cr_expect_str_eq(page.refusal.reason, "INVALID_ORDER_BY");
    cr_expect_str_eq(page.refusal.rule,
                     "must be one of: createTime asc, createTime desc, updateTime asc, updateTime desc, name asc, "
                     "name desc, quantity asc, quantity desc");
  }
}

// ---- page tokens ----

static const struct {
  struct slice value;
} order_values[ORDERS] = {
    [CREATE_TIME] = {SLICE_INIT("-1")},
    [UPDATE_TIME] = {SLICE_INIT("1700000000123456")},
    [NAME] = {SLICE_INIT("L\xc3\xa4mp\n\"1\"")},
    [QUANTITY] = {SLICE_INIT("2147483647")},
};

// A token for the place behind an item with this value; any client could make it.
static char *token_with(const Item__V1__ListItemsRequest *request, struct slice value)
{
  Item__V1__ListItemsRequest first = *request;
  first.page_token = "";
  return (char *)(uintptr_t)page_token_write(page_of(&first).fingerprint, value, SLICE(ID), &arena);
}

static bool reads(const Item__V1__ListItemsRequest *request, const char *token)
{
  Item__V1__ListItemsRequest next = *request;
  next.page_token = (char *)(uintptr_t)token;
  struct query_page page;
  return read_page(&next, &page) && page.after_id != NULL;
}

Test(item_list, a_page_token_names_the_place_in_every_order)
{
  for (size_t order = 0; order < ORDERS; order++) {
    Item__V1__ListItemsRequest request = request_of(order_names[order]);
    request.page_token = token_with(&request, order_values[order].value);
    struct query_page page = page_of(&request);
    cr_expect(slice_equal_string(order_values[order].value, page.after_value));
    cr_expect_str_eq(page.after_id, ID);
  }
}

Test(item_list, a_page_token_of_another_list_is_refused)
{
  // No two of these are the same list.
  Item__V1__ListItemsRequest requests[12];
  for (size_t i = 0; i < ARRAY_LEN(requests); i++)
    requests[i] = request_of("name");
  requests[1].order_by = "name desc";
  requests[2].order_by = "";
  requests[3].order_by = "updateTime";
  requests[4].order_by = "quantity";
  requests[5].category = "a";
  requests[6].category = "b";
  requests[7].tag = "a";
  requests[8].owner_id = "a";
  requests[9].q = "a";
  requests[10].category = "a";
  requests[10].tag = "b";
  requests[11].category = "ab";
  for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
    const char *token = token_with(&requests[i], SLICE("1"));
    for (size_t k = 0; k < ARRAY_LEN(requests); k++)
      cr_expect_eq(reads(&requests[k], token), i == k, "a token of %zu for %zu", i, k);
  }
}

Test(item_list, the_size_of_the_page_may_change_from_page_to_page)
{
  Item__V1__ListItemsRequest request = request_of("name");
  request.page_size = 10;
  const char *token = token_with(&request, SLICE("a"));
  request.page_size = 20;
  cr_expect(reads(&request, token));
}

static bool takes_value(enum order order, struct slice value)
{
  const Item__V1__ListItemsRequest request = request_of(order_names[order]);
  return reads(&request, token_with(&request, value));
}

// Every place that a token names must be one that PostgreSQL takes, whoever wrote the token.
Test(item_list, the_value_of_a_page_token_fits_its_column)
{
  cr_expect(takes_value(QUANTITY, SLICE("0")));
  cr_expect(takes_value(QUANTITY, SLICE("2147483647")));
  cr_expect_not(takes_value(QUANTITY, SLICE("2147483648")));
  cr_expect_not(takes_value(QUANTITY, SLICE("-2147483649")));
  cr_expect_not(takes_value(QUANTITY, SLICE("")));
  cr_expect_not(takes_value(QUANTITY, SLICE("1\0")));
  cr_expect(takes_value(CREATE_TIME, SLICE("0")));
  cr_expect_not(takes_value(CREATE_TIME, SLICE("253402300800000000")));
  cr_expect_not(takes_value(UPDATE_TIME, SLICE("now")));
  cr_expect(takes_value(NAME, SLICE("")));
  cr_expect(takes_value(NAME, SLICE("any text")));
  cr_expect_not(takes_value(NAME, SLICE("a\0b")));
  cr_expect_not(takes_value(NAME, SLICE("\xff")));
}

Test(item_list, anything_but_a_page_token_is_refused)
{
  static const char *const wrong[] = {"x", "AAAA", "null", ID, "===="};
  const Item__V1__ListItemsRequest request = request_of("name");
  for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
    cr_expect_not(reads(&request, wrong[i]), "%s", wrong[i]);
}

Test(item_list, a_page_token_of_another_service_is_refused)
{
  static const struct pg_statement statements[] = {{.name = "other_list"}};
  struct query_list other = item_db_list;
  other.statements = statements;
  Item__V1__ListItemsRequest request = request_of("");
  struct query_page page = page_of(&request);
  request.page_token = (char *)(uintptr_t)page_token_write(page.fingerprint, SLICE("1"), SLICE(ID), &arena);
  cr_expect(read_page(&request, &page));
  cr_expect_not(query_list_read(&other, &request.base, &arena, &page));
}
