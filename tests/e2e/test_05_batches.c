// Batches: all or nothing.
#include <criterion/criterion.h>

#include "common/base/strbuf.h"
#include "tests/support/http.h"

static const char *batch(const char *prefix, int count, int broken)
{
  struct strbuf body;
  strbuf_init(&body, 0);
  strbuf_add_string(&body, "{\"items\":[");
  for (int i = 0; i < count; i++)
    strbuf_printf(&body, "%s{\"sku\":\"%s-%d\",\"name\":\"%s\",\"category\":\"%s\",\"tags\":[\"a\",\"b\"]}",
                  i == 0 ? "" : ",", prefix, i, i == broken ? "" : "Thing", prefix);
  strbuf_add_string(&body, "]}");
  const char *json = text("%s", strbuf_cstring(&body));
  strbuf_free(&body);
  return json;
}

static int count_of(const struct account *account, const char *category)
{
  struct http_reply reply = HTTP(.path = text("/v1/items?pageSize=200&category=%s", category), .token = account->token);
  ASSERT_STATUS(reply, 200);
  return http_json_count(&reply, "items");
}

Test(e2e_05_batches, a_thousand_items_come_back_in_the_order_they_went)
{
  struct account ada = account_create();
  const char *word = fresh_word();
  struct http_reply reply = HTTP(.path = "/v1/items:batchCreate", .token = ada.token, .body = batch(word, 1000, -1));
  ASSERT_STATUS(reply, 200);
  cr_assert_eq(http_json_count(&reply, "items"), 1000);
  for (int i = 0; i < 1000; i += 111)
    cr_assert_str_eq(http_json(&reply, text("items[%d].sku", i)), text("%s-%d", word, i));
  cr_assert_eq(count_of(&ada, word), 200);
}

Test(e2e_05_batches, one_bad_item_stops_all_and_is_named)
{
  struct account ada = account_create();
  const char *word = fresh_word();
  struct http_reply reply = HTTP(.path = "/v1/items:batchCreate", .token = ada.token, .body = batch(word, 10, 7));
  ASSERT_PROBLEM(reply, 400, "INVALID_ARGUMENT");
  assert_violation(&reply, "items[7].name");
  cr_assert_eq(count_of(&ada, word), 0);
}

Test(e2e_05_batches, a_taken_sku_stops_all_and_is_named)
{
  struct account ada = account_create();
  const char *word = fresh_word();
  item_create(&ada, text("{\"sku\":\"%s-4\",\"name\":\"first\"}", word));
  struct http_reply reply = HTTP(.path = "/v1/items:batchCreate", .token = ada.token, .body = batch(word, 10, -1));
  ASSERT_PROBLEM(reply, 409, "ALREADY_EXISTS");
  assert_violation(&reply, "items[4].sku");
  cr_assert_eq(count_of(&ada, word), 0);
}

Test(e2e_05_batches, a_sku_twice_in_a_batch_is_named)
{
  struct account ada = account_create();
  struct http_reply reply = HTTP(.path = "/v1/items:batchCreate", .token = ada.token,
                                 .body = "{\"items\":[{\"sku\":\"a\",\"name\":\"x\"},{\"sku\":\"b\",\"name\":\"x\"},{"
                                         "\"sku\":\"a\",\"name\":\"x\"}]}");
  ASSERT_PROBLEM(reply, 400, "INVALID_ARGUMENT");
  assert_violation(&reply, "items[2].sku");
}

Test(e2e_05_batches, no_items_and_too_many_are_refused)
{
  struct account ada = account_create();
  struct http_reply none = HTTP(.path = "/v1/items:batchCreate", .token = ada.token, .body = "{\"items\":[]}");
  ASSERT_PROBLEM(none, 400, "INVALID_ARGUMENT");
  assert_violation(&none, "items");
  struct http_reply many =
      HTTP(.path = "/v1/items:batchCreate", .token = ada.token, .body = batch(fresh_word(), 1001, -1));
  ASSERT_PROBLEM(many, 400, "INVALID_ARGUMENT");
  assert_violation(&many, "items");
}

// ---- imports: each line by itself ----

Test(e2e_05_batches, an_import_makes_what_is_right_and_names_the_lines_that_are_not)
{
  struct account ada = account_create();
  const char *word = fresh_word();
  const char *lines = text("{\"sku\":\"%s-1\",\"name\":\"Lamp\",\"category\":\"%s\",\"attributes\":{\"cm\":12.50}}\n"
                           "\n"
                           "{\"sku\":\"%s-2\",\"name\":\"\"}\n"
                           "{\"sku\":\"%s-1\",\"name\":\"again\"}\r\n"
                           "{\"sku\":\"%s-3\",\"name\":\"Shade\",\"category\":\"%s\"}",
                           word, word, word, word, word, word);
  struct http_reply reply =
      HTTP(.path = "/v1/items:import", .token = ada.token, .body = lines, .content_type = "application/x-ndjson");
  ASSERT_STATUS(reply, 200);
  cr_expect_str_eq(http_json(&reply, "lines"), "4");
  cr_expect_str_eq(http_json(&reply, "created"), "2");
  cr_expect_str_eq(http_json(&reply, "failed"), "2");
  cr_assert_eq(http_json_count(&reply, "failures"), 2);
  cr_expect_str_eq(http_json(&reply, "failures[0].line"), "2");
  cr_expect_str_eq(http_json(&reply, "failures[0].field"), "name");
  cr_expect_str_eq(http_json(&reply, "failures[1].line"), "3");
  cr_expect_str_eq(http_json(&reply, "failures[1].reason"), "SKU_TAKEN");
  cr_expect_eq(count_of(&ada, word), 2);
}

Test(e2e_05_batches, an_import_ends_at_a_line_that_cannot_be_read)
{
  struct account ada = account_create();
  const char *word = fresh_word();
  const char *lines =
      text("{\"sku\":\"%s-1\",\"name\":\"Lamp\",\"category\":\"%s\"}\n{\"colour\":\"red\"}\n", word, word);
  struct http_reply reply =
      HTTP(.path = "/v1/items:import", .token = ada.token, .body = lines, .content_type = "application/x-ndjson");
  ASSERT_PROBLEM(reply, 400, "INVALID_ARGUMENT");
  assert_violation(&reply, "[1].colour");
  cr_assert_eq(count_of(&ada, word), 0);
}
