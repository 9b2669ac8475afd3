// Lists: pages, filters, search, order.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/strbuf.h"
#include "tests/support/http.h"

// Makes `count` items of one owner, with a category and tag that no other items have; quantity i, name "<word> nnn".
static const char *make_items(const struct account *owner, int count)
{
  const char *word = fresh_word();
  for (int i = 0; i < count; i++)
    item_create(owner, text("{\"sku\":\"%s-%d\",\"name\":\"%s %03d\",\"category\":\"%s\",\"tags\":[\"%s\",\"n%d\"],"
                            "\"quantity\":%d,\"description\":\"The running of %s\"}",
                            word, i, word, (i * 7) % count, word, word, i % 3, i, word));
  return word;
}

static struct http_reply list(const struct account *account, const char *query)
{
  struct http_reply reply = HTTP(.path = text("/v1/items?%s", query), .token = account->token);
  ASSERT_STATUS(reply, 200);
  return reply;
}

static const char *next_page(const struct http_reply *reply)
{
  const char *token = http_json(reply, "nextPageToken");
  return token == NULL || *token == '\0' ? NULL : token;
}

Test(e2e_04_lists, pages_hold_every_item_once_in_order)
{
  struct account ada = account_create();
  make_items(&ada, 23);
  static const struct {
    const char *order;
    const char *field;
  } ORDERS[] = {
      {"", "createTime"},       {"orderBy=createTime", "createTime"}, {"orderBy=updateTime%20desc", "updateTime"},
      {"orderBy=name", "name"}, {"orderBy=name%20desc", "name"},      {"orderBy=quantity%20asc", "quantity"},
  };
  for (size_t o = 0; o < ARRAY_LEN(ORDERS); o++) {
    bool descending = o == 0 || strstr(ORDERS[o].order, "desc") != NULL;
    bool seen[23] = {false};
    int total = 0, pages = 0;
    const char *token = NULL;
    const char *previous = NULL;
    do {
      struct http_reply page = list(&ada, text("ownerId=%s&pageSize=5&%s%s%s", ada.id, ORDERS[o].order,
                                               token == NULL ? "" : "&pageToken=", token == NULL ? "" : token));
      int count = http_json_count(&page, "items");
      for (int i = 0; i < count; i++) {
        int quantity = (int)strtol(http_json(&page, text("items[%d].quantity", i)), NULL, 10);
        cr_assert(!seen[quantity], "%s: item %d twice", ORDERS[o].order, quantity);
        seen[quantity] = true;
        const char *value = http_json(&page, text("items[%d].%s", i, ORDERS[o].field));
        if (strcmp(ORDERS[o].field, "quantity") == 0)
          value = text("%06d", quantity);
        if (previous != NULL)
          cr_assert(descending ? strcmp(previous, value) >= 0 : strcmp(previous, value) <= 0, "%s: %s before %s",
                    ORDERS[o].order, previous, value);
        previous = value;
      }
      total += count;
      pages++;
      token = next_page(&page);
    } while (token != NULL);
    cr_assert_eq(total, 23);
    cr_assert_eq(pages, 5);
  }
}

Test(e2e_04_lists, filters_all_hold_at_once)
{
  struct account ada = account_create();
  const char *word = make_items(&ada, 9);
  struct http_reply by_tag = list(&ada, text("tag=%s", word));
  cr_assert_eq(http_json_count(&by_tag, "items"), 9);
  struct http_reply by_category = list(&ada, text("category=%s&tag=n1", word));
  cr_assert_eq(http_json_count(&by_category, "items"), 3);
  struct http_reply nobody = list(&ada, text("category=%s&ownerId=01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6b", word));
  cr_assert_eq(http_json_count(&nobody, "items"), 0);
  cr_assert_null(next_page(&nobody));
}

Test(e2e_04_lists, words_are_searched_as_in_a_web_search)
{
  struct account ada = account_create();
  const char *word = make_items(&ada, 4);
  struct http_reply found = list(&ada, text("q=%s", word));
  cr_assert_eq(http_json_count(&found, "items"), 4);
  // A search for "runs" finds "running".
  struct http_reply stem = list(&ada, text("q=%s%%20runs", word));
  cr_assert_eq(http_json_count(&stem, "items"), 4);
  struct http_reply one = list(&ada, text("q=%s%%20002", word));
  cr_assert_eq(http_json_count(&one, "items"), 1);
  struct http_reply without = list(&ada, text("q=%s%%20-002", word));
  cr_assert_eq(http_json_count(&without, "items"), 3);
  // A search without words, or with the signs of operators, is never an error.
  struct http_reply operators = list(&ada, "q=%26%7C%21%28%22");
  cr_assert_geq(http_json_count(&operators, "items"), 0);
}

Test(e2e_04_lists, a_page_token_holds_for_its_own_list_only)
{
  struct account ada = account_create();
  make_items(&ada, 3);
  struct http_reply page = list(&ada, text("ownerId=%s&pageSize=1", ada.id));
  const char *token = next_page(&page);
  cr_assert_not_null(token);
  struct http_reply other = HTTP(.path = text("/v1/items?pageSize=1&pageToken=%s", token), .token = ada.token);
  ASSERT_PROBLEM(other, 400, "INVALID_ARGUMENT");
  assert_violation(&other, "pageToken");
  struct http_reply garbage = HTTP(.path = "/v1/items?pageToken=garbage", .token = ada.token);
  ASSERT_PROBLEM(garbage, 400, "INVALID_ARGUMENT");
  assert_violation(&garbage, "pageToken");
}

Test(e2e_04_lists, a_query_is_strict)
{
  struct account ada = account_create();
  static const struct {
    const char *query;
    const char *field;
  } CASES[] = {
      {"pageSize=1000", "pageSize"},         {"pageSize=-1", "pageSize"},
      {"pageSize=ten", "pageSize"},          {"pagesize=1", "pagesize"},
      {"orderBy=price", "orderBy"},          {"ownerId=me", "ownerId"},
      {"pageSize=1&pageSize=2", "pageSize"},
  };
  for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
    struct http_reply reply = HTTP(.path = text("/v1/items?%s", CASES[i].query), .token = ada.token);
    ASSERT_PROBLEM(reply, 400, "INVALID_ARGUMENT");
    assert_violation(&reply, CASES[i].field);
  }
}

// Walks all pages and counts items and pages; asserts that no item comes twice.
static int walk(const struct account *account, const char *query, int *pages)
{
  int total = 0;
  *pages = 0;
  const char *token = "";
  do {
    struct http_reply page = list(account, text("%s&pageToken=%s", query, token));
    total += http_json_count(&page, "items");
    token = next_page(&page);
    (*pages)++;
  } while (token != NULL);
  return total;
}

Test(e2e_04_lists, the_longest_names_make_page_tokens_that_are_taken_back)
{
  struct account ada = account_create();
  char name[256 * 4 + 1] = "";
  for (int i = 0; i < 255; i++)
    memcpy(name + 4 * i, "\xf0\x9f\x98\x80", 4);
  for (int i = 0; i < 3; i++)
    item_create(&ada, text("{\"sku\":\"%d\",\"name\":\"%s%d\"}", i, name, i));
  int pages;
  cr_assert_eq(walk(&ada, text("ownerId=%s&orderBy=name&pageSize=1", ada.id), &pages), 3);
  cr_assert_eq(pages, 3);
}

Test(e2e_04_lists, a_page_of_large_items_ends_early)
{
  enum { BATCHES = 3, PER_BATCH = 30, CHARACTERS = 16384 };
  struct account ada = account_create();
  struct strbuf body;
  strbuf_init(&body, 0);
  for (int batch = 0; batch < BATCHES; batch++) {
    strbuf_clear(&body);
    strbuf_add_string(&body, "{\"items\":[");
    for (int i = 0; i < PER_BATCH; i++) {
      strbuf_printf(&body, "%s{\"sku\":\"%d-%d\",\"name\":\"x\",\"description\":\"", i == 0 ? "" : ",", batch, i);
      // The description has as many bytes as possible, and no words for the search.
      for (int c = 0; c < CHARACTERS; c++)
        strbuf_add_string(&body, "\xf0\x9f\x98\x80");
      strbuf_add_string(&body, "\"}");
    }
    strbuf_add_string(&body, "]}");
    struct http_reply reply = HTTP(.path = "/v1/items:batchCreate", .token = ada.token, .body = strbuf_cstring(&body));
    ASSERT_STATUS(reply, 200);
  }
  strbuf_free(&body);
  int pages;
  cr_assert_eq(walk(&ada, text("ownerId=%s&pageSize=200", ada.id), &pages), BATCHES * PER_BATCH);
  cr_assert_gt(pages, 1);
}
