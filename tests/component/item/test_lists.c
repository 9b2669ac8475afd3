// Lists: every filter with every order, page by page.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/component/item/items.h"

enum { FILTER_CATEGORY = 1, FILTER_TAG = 2, FILTER_OWNER = 4, FILTER_WORDS = 8, FILTERS = 16 };
// Each set of filters is fitted by three items, so that every list has pages.
enum { COPIES = 3, ITEMS = FILTERS * COPIES };

static struct items items;

// Creates all items. Item i fits the filters of i / COPIES; many names and quantities are the same.
static void create_items(void)
{
  for (int i = 0; i < ITEMS; i++) {
    int fits = i / COPIES;
    Item__V1__Item *item = items_make(&items, items_text(&items, "S-%d", i), items_text(&items, "Thing %d", i % 5));
    static char *tags[] = {"brass", "old"};
    item->tags = tags;
    item->n_tags = fits & FILTER_TAG ? 2 : 0;
    item->category = fits & FILTER_CATEGORY ? "lighting" : "garden";
    item->description = fits & FILTER_WORDS ? "A lamp for the desk" : "A spade";
    item->quantity = i % 7;
    items_created(&items, item, fits & FILTER_OWNER ? &owner : &other_owner);
  }
}

static void setup(void)
{
  items_open(&items);
  create_items();
}

static void teardown(void)
{
  items_close(&items);
}

TestSuite(item_lists, .init = setup, .fini = teardown);

static const Item__V1__ListItemsResponse *list(const Item__V1__ListItemsRequest *request)
{
  struct outcome outcome = driver_call(&items.driver, LIST_ITEMS, &request->base, &owner);
  return (const Item__V1__ListItemsResponse *)(const void *)driver_reply(&outcome,
                                                                         &item__v1__list_items_response__descriptor);
}

static int sign(int64_t left, int64_t right)
{
  return (left > right) - (left < right);
}

static int64_t micros(const Google__Protobuf__Timestamp *time)
{
  return time->seconds * 1000000 + time->nanos / 1000;
}

static int compare_create_time(const Item__V1__Item *a, const Item__V1__Item *b)
{
  return sign(micros(a->create_time), micros(b->create_time));
}

static int compare_update_time(const Item__V1__Item *a, const Item__V1__Item *b)
{
  return sign(micros(a->update_time), micros(b->update_time));
}

static int compare_name(const Item__V1__Item *a, const Item__V1__Item *b)
{
  return strcmp(a->name, b->name);
}

static int compare_quantity(const Item__V1__Item *a, const Item__V1__Item *b)
{
  return sign(a->quantity, b->quantity);
}

static const struct {
  char *text;
  int (*compare)(const Item__V1__Item *a, const Item__V1__Item *b);
  int direction;
} orders[] = {
    {"createTime asc", compare_create_time, 1},
    {"createTime desc", compare_create_time, -1},
    {"updateTime asc", compare_update_time, 1},
    {"updateTime desc", compare_update_time, -1},
    {"name asc", compare_name, 1},
    {"name desc", compare_name, -1},
    {"quantity asc", compare_quantity, 1},
    {"quantity desc", compare_quantity, -1},
};

struct walk {
  bool seen[ITEMS];
  int count;
  const Item__V1__Item *last;
};

// Takes the next item of a list; its sku says which item it is.
static void take(struct walk *walk, const Item__V1__Item *item, size_t order)
{
  int64_t number = -1;
  cr_assert(slice_to_int64(slice_from_string(item->sku + 2), 0, ITEMS - 1, &number), "%s", item->sku);
  cr_expect_not(walk->seen[number], "%s comes twice", item->sku);
  walk->seen[number] = true;
  walk->count++;
  if (walk->last != NULL) {
    int compared = orders[order].compare(walk->last, item);
    if (compared == 0)
      compared = strcmp(walk->last->id, item->id);
    cr_expect_eq(sign(compared, 0), -orders[order].direction, "%s: %s before %s", orders[order].text, walk->last->sku,
                 item->sku);
  }
  walk->last = item;
}

// Walks a whole list, so that the statements of the first page and of later pages are checked.
static void walk_list(unsigned filters, size_t order, int page_size)
{
  struct walk walk = {.count = 0};
  Item__V1__ListItemsRequest request = ITEM__V1__LIST_ITEMS_REQUEST__INIT;
  request.page_size = page_size;
  request.order_by = orders[order].text;
  request.category = filters & FILTER_CATEGORY ? "lighting" : "";
  request.tag = filters & FILTER_TAG ? "brass" : "";
  request.owner_id = filters & FILTER_OWNER ? OWNER : "";
  request.q = filters & FILTER_WORDS ? "lamps desk" : "";
  int pages = 0;
  do {
    const Item__V1__ListItemsResponse *page = list(&request);
    pages++;
    for (size_t i = 0; i < page->n_items; i++)
      take(&walk, page->items[i], order);
    cr_assert(page->next_page_token[0] == '\0' || page->n_items == (size_t)page_size);
    request.page_token = page->next_page_token;
  } while (request.page_token[0] != '\0');
  for (unsigned i = 0; i < ITEMS; i++)
    cr_expect_eq(walk.seen[i], (i / COPIES & filters) == filters, "filters %u, %s: item %u", filters,
                 orders[order].text, i);
  // A full last page has no next page token.
  cr_expect_eq(pages, (walk.count + page_size - 1) / page_size);
}

Test(item_lists, every_filter_with_every_order_page_by_page)
{
  for (unsigned filters = 0; filters < FILTERS; filters++) {
    for (size_t order = 0; order < ARRAY_LEN(orders); order++)
      // All filters together still fit three items, so with pages of two every list has a second page.
      walk_list(filters, order, filters == 0 ? 16 : 2);
  }
  // 4 filters, 4 orders, 2 directions, with and without a place to go on from.
  cr_expect_str_eq(database_sql(&items.database, "SELECT count(*) FROM item.items"), items_text(&items, "%d", ITEMS));
}

Test(item_lists, pages_go_on_where_they_were_when_items_come_and_go)
{
  Item__V1__ListItemsRequest request = ITEM__V1__LIST_ITEMS_REQUEST__INIT;
  request.page_size = 10;
  request.order_by = "quantity asc";
  const Item__V1__ListItemsResponse *first = list(&request);
  struct walk walk = {.count = 0};
  for (size_t i = 0; i < first->n_items; i++)
    take(&walk, first->items[i], 6);
  // The item that the token names goes, and new ones come before and after it.
  database_sql(&items.database, "DELETE FROM item.items WHERE id = '%s'", first->items[9]->id);
  Item__V1__Item *before = items_make(&items, "before", "Before");
  items_created(&items, before, &owner);
  request.page_token = first->next_page_token;
  request.page_size = 200;
  const Item__V1__ListItemsResponse *rest = list(&request);
  for (size_t i = 0; i < rest->n_items; i++)
    take(&walk, rest->items[i], 6);
  cr_expect_eq(walk.count, ITEMS);
}

Test(item_lists, a_page_token_of_another_list_is_refused)
{
  Item__V1__ListItemsRequest request = ITEM__V1__LIST_ITEMS_REQUEST__INIT;
  request.page_size = 1;
  request.page_token = list(&request)->next_page_token;
  request.category = "lighting";
  struct outcome outcome = driver_call(&items.driver, LIST_ITEMS, &request.base, &owner);
  cr_expect_eq(outcome.status, STATUS_INVALID_ARGUMENT);
  cr_assert_eq(outcome.violation_count, 1);
  cr_expect(slice_equal_string(outcome.violation_field, "pageToken"));
}

// What people type into a search field must never be an SQL error.
Test(item_lists, any_words_may_be_searched_for)
{
  static char *words[] = {"\"", "\"lamp", "lamp\"", "-", "or", "or or", "-lamp", "lamp or spade", "&|!()<->:*", "':*'",
                          "\\", "%_", "\t", "the", "\xc3\xa4\xf0\x9f\x92\xa1", "''", "a:b:c", "lamp\n-",
                          // PostgreSQL takes no more than 32 signs of negation in front of a word.
                          "---------------------------------",
                          "- - -!-(-)-<-:-*-&-|-.-,-;-#- - - - - - - - - - - - - - - - - - -lamp"};
  for (size_t i = 0; i < ARRAY_LEN(words); i++) {
    Item__V1__ListItemsRequest request = ITEM__V1__LIST_ITEMS_REQUEST__INIT;
    request.q = words[i];
    request.page_size = 1;
    struct outcome outcome = driver_call(&items.driver, LIST_ITEMS, &request.base, &owner);
    cr_expect_eq(outcome.status, STATUS_OK, "%s: %s", words[i], status_name(outcome.status));
  }
}
