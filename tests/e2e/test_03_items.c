// One item: created, read, changed, deleted.
#include <criterion/criterion.h>
#include <string.h>

#include "tests/support/http.h"
#include "tests/support/stack.h"

static const char *full_item(const char *sku)
{
  return text("{\"sku\":\"%s\",\"name\":\"Desk lamp\",\"description\":\"Brass, \\u00fcber-bright \\ud83d\\udca1\","
              "\"category\":\"lighting\",\"tags\":[\"brass\",\"say \\\"hi\\\"\",\"back\\\\slash\",\"comma,brace}\"],"
              "\"price\":\"49.90\",\"currency\":\"EUR\",\"quantity\":12,"
              "\"attributes\":{\"colour\":\"brass\",\"depth\":{\"cm\":12.5}}}",
              sku);
}

Test(e2e_03_items, an_item_comes_back_as_it_went_in)
{
  struct account ada = account_create();
  const char *sku = fresh_word();
  struct http_reply created = HTTP(.path = "/v1/items", .token = ada.token, .body = full_item(sku));
  ASSERT_STATUS(created, 201);
  const char *id = http_json(&created, "id");
  cr_assert_str_eq(http_header(&created, "Location"), text("/v1/items/%s", id));

  struct http_reply read = HTTP(.path = text("/v1/items/%s", id), .token = ada.token);
  ASSERT_STATUS(read, 200);
  cr_assert_str_eq(read.body, created.body);
  cr_assert_str_eq(http_json(&read, "ownerId"), ada.id);
  cr_assert_str_eq(http_json(&read, "sku"), sku);
  cr_assert_str_eq(http_json(&read, "description"), "Brass, über-bright 💡");
  cr_assert_eq(http_json_count(&read, "tags"), 4);
  cr_assert_str_eq(http_json(&read, "tags[1]"), "say \"hi\"");
  cr_assert_str_eq(http_json(&read, "tags[2]"), "back\\slash");
  cr_assert_str_eq(http_json(&read, "tags[3]"), "comma,brace}");
  cr_assert_str_eq(http_json(&read, "price"), "49.90");
  cr_assert_str_eq(http_json(&read, "currency"), "EUR");
  cr_assert_str_eq(http_json(&read, "quantity"), "12");
  cr_assert_str_eq(http_json(&read, "attributes.depth.cm"), "12.5");
}

Test(e2e_03_items, sku_and_name_are_enough)
{
  struct account ada = account_create();
  struct http_reply reply =
      HTTP(.path = "/v1/items", .token = ada.token, .body = text("{\"sku\":\"%s\",\"name\":\"Plain\"}", fresh_word()));
  ASSERT_STATUS(reply, 201);
  cr_assert_str_eq(http_json(&reply, "quantity"), "0");
  cr_assert_eq(http_json_count(&reply, "tags"), 0);
  cr_assert_null(http_json(&reply, "price"));
  cr_assert_null(http_json(&reply, "currency"));
  cr_assert_str_eq(http_json(&reply, "attributes"), "{}");
}

Test(e2e_03_items, a_sku_is_unique_among_the_owners_items)
{
  struct account ada = account_create();
  struct account bob = account_create();
  const char *body = text("{\"sku\":\"%s\",\"name\":\"One\"}", fresh_word());
  item_create(&ada, body);
  struct http_reply again = HTTP(.path = "/v1/items", .token = ada.token, .body = body);
  ASSERT_PROBLEM(again, 409, "ALREADY_EXISTS");
  assert_violation(&again, "sku");
  item_create(&bob, body);
}

Test(e2e_03_items, everybody_reads_and_only_the_owner_changes)
{
  struct account ada = account_create();
  struct account bob = account_create();
  const char *path = text("/v1/items/%s", item_create(&ada, full_item(fresh_word())));
  ASSERT_STATUS(HTTP(.path = path, .token = bob.token), 200);
  struct http_reply patch = HTTP(.method = "PATCH", .path = path, .token = bob.token, .body = "{\"quantity\":1}");
  ASSERT_PROBLEM(patch, 403, "PERMISSION_DENIED");
  struct http_reply gone = HTTP(.method = "DELETE", .path = path, .token = bob.token);
  ASSERT_PROBLEM(gone, 403, "PERMISSION_DENIED");
  struct http_reply anonymous = HTTP(.path = path);
  ASSERT_PROBLEM(anonymous, 401, "UNAUTHENTICATED");
}

Test(e2e_03_items, a_change_is_seen_by_the_next_read_from_every_instance)
{
  struct account ada = account_create();
  const char *path = text("/v1/items/%s", item_create(&ada, full_item(fresh_word())));
  for (int quantity = 100; quantity < 130; quantity++) {
    struct http_reply patch =
        HTTP(.method = "PATCH", .path = path, .token = ada.token, .body = text("{\"quantity\":%d}", quantity));
    ASSERT_STATUS(patch, 200);
    // Reads go to the instances in turn, so several reads reach all of them.
    for (int i = 0; i < 4; i++) {
      struct http_reply read = HTTP(.path = path, .token = ada.token);
      ASSERT_STATUS(read, 200);
      cr_assert_str_eq(http_json(&read, "quantity"), text("%d", quantity));
    }
  }
}

Test(e2e_03_items, a_change_touches_only_what_the_body_holds)
{
  struct account ada = account_create();
  const char *path = text("/v1/items/%s", item_create(&ada, full_item(fresh_word())));
  struct http_reply patch =
      HTTP(.method = "PATCH", .path = path, .token = ada.token, .body = "{\"tags\":[],\"quantity\":0}");
  ASSERT_STATUS(patch, 200);
  cr_assert_eq(http_json_count(&patch, "tags"), 0);
  cr_assert_str_eq(http_json(&patch, "quantity"), "0");
  cr_assert_str_eq(http_json(&patch, "name"), "Desk lamp");
  cr_assert_str_eq(http_json(&patch, "price"), "49.90");
  cr_assert_str_eq(http_json(&patch, "attributes.colour"), "brass");
}

Test(e2e_03_items, a_stale_etag_changes_nothing)
{
  struct account ada = account_create();
  const char *path = text("/v1/items/%s", item_create(&ada, full_item(fresh_word())));
  struct http_reply first = HTTP(.path = path, .token = ada.token);
  const char *if_match = text("If-Match: %s", http_header(&first, "ETag"));
  ASSERT_STATUS(
      HTTP(.method = "PATCH", .path = path, .token = ada.token, .body = "{\"quantity\":1}", .headers = {if_match}),
      200);
  struct http_reply stale =
      HTTP(.method = "PATCH", .path = path, .token = ada.token, .body = "{\"quantity\":2}", .headers = {if_match});
  ASSERT_PROBLEM(stale, 412, "ABORTED");
  struct http_reply gone = HTTP(.method = "DELETE", .path = path, .token = ada.token, .headers = {if_match});
  ASSERT_PROBLEM(gone, 412, "ABORTED");
  struct http_reply in_body = HTTP(.method = "PATCH", .path = path, .token = ada.token,
                                   .body = text("{\"quantity\":3,\"etag\":\"%s\"}", http_json(&first, "etag")));
  ASSERT_PROBLEM(in_body, 412, "ABORTED");
  struct http_reply read = HTTP(.path = path, .token = ada.token);
  cr_assert_str_eq(http_json(&read, "quantity"), "1");
}

static int patch_if(const struct account *as, const char *path, const char *if_match)
{
  return HTTP(.method = "PATCH", .path = path, .token = as->token, .body = "{\"quantity\":7}",
              .headers = {text("If-Match: %s", if_match)})
      .status;
}

// RFC 9110, section 13.1.1.
Test(e2e_03_items, a_list_of_etags_allows_each_and_a_weak_one_none)
{
  struct account ada = account_create();
  const char *path = text("/v1/items/%s", item_create(&ada, full_item(fresh_word())));
  struct http_reply item = HTTP(.path = path, .token = ada.token);
  const char *etag = http_header(&item, "ETag");
  cr_assert_eq(patch_if(&ada, path, "\"none\", W/\"other\""), 412);
  cr_assert_eq(patch_if(&ada, path, text("W/%s", etag)), 412);
  cr_assert_eq(patch_if(&ada, path, text("\"none\", %s", etag)), 200);
  cr_assert_eq(patch_if(&ada, path, etag), 412);
  cr_assert_eq(patch_if(&ada, path, "*"), 200);
  cr_assert_eq(patch_if(&ada, path, "none"), 400);
}

Test(e2e_03_items, a_read_can_be_of_one_state_alone)
{
  struct account ada = account_create();
  const char *path = text("/v1/items/%s", item_create(&ada, full_item(fresh_word())));
  struct http_reply item = HTTP(.path = path, .token = ada.token);
  const char *if_match = text("If-Match: %s", http_header(&item, "ETag"));
  ASSERT_STATUS(HTTP(.path = path, .token = ada.token, .headers = {if_match}), 200);
  cr_assert_eq(patch_if(&ada, path, "*"), 200);
  struct http_reply other = HTTP(.path = path, .token = ada.token, .headers = {if_match});
  ASSERT_PROBLEM(other, 412, "ABORTED");
  cr_assert_null(http_header(&other, "ETag"));
}

Test(e2e_03_items, an_unchanged_item_is_not_sent_again)
{
  struct account ada = account_create();
  const char *path = text("/v1/items/%s", item_create(&ada, full_item(fresh_word())));
  struct http_reply first = HTTP(.path = path, .token = ada.token);
  struct http_reply again =
      HTTP(.path = path, .token = ada.token, .headers = {text("If-None-Match: %s", http_header(&first, "ETag"))});
  ASSERT_STATUS(again, 304);
  cr_assert_eq(again.body_size, 0);
}

Test(e2e_03_items, a_deleted_item_is_gone)
{
  struct account ada = account_create();
  const char *path = text("/v1/items/%s", item_create(&ada, full_item(fresh_word())));
  ASSERT_STATUS(HTTP(.path = path, .token = ada.token), 200);
  ASSERT_STATUS(HTTP(.method = "DELETE", .path = path, .token = ada.token), 204);
  for (int i = 0; i < 4; i++) {
    struct http_reply read = HTTP(.path = path, .token = ada.token);
    ASSERT_PROBLEM(read, 404, "NOT_FOUND");
  }
  struct http_reply again = HTTP(.method = "DELETE", .path = path, .token = ada.token);
  ASSERT_PROBLEM(again, 404, "NOT_FOUND");
}

Test(e2e_03_items, price_and_currency_go_together)
{
  struct account ada = account_create();
  struct http_reply reply = HTTP(.path = "/v1/items", .token = ada.token,
                                 .body = text("{\"sku\":\"%s\",\"name\":\"x\",\"price\":\"1.00\"}", fresh_word()));
  ASSERT_PROBLEM(reply, 400, "INVALID_ARGUMENT");
  assert_violation(&reply, "currency");
}

Test(e2e_03_items, all_that_is_wrong_comes_back_at_once)
{
  struct account ada = account_create();
  struct http_reply reply =
      HTTP(.path = "/v1/items", .token = ada.token, .body = "{\"tags\":[\"\"],\"price\":\"much\"}");
  ASSERT_PROBLEM(reply, 400, "INVALID_ARGUMENT");
  assert_violation(&reply, "sku");
  assert_violation(&reply, "name");
  assert_violation(&reply, "tags[0]");
  assert_violation(&reply, "price");
}

Test(e2e_03_items, a_change_may_leave_out_what_creating_needs_but_not_empty_it)
{
  struct account ada = account_create();
  const char *path = text("/v1/items/%s", item_create(&ada, full_item(fresh_word())));
  struct http_reply cleared = HTTP(.method = "PATCH", .path = path, .token = ada.token,
                                   .body = "{\"price\":\"\",\"currency\":null,\"category\":\"\"}");
  ASSERT_STATUS(cleared, 200);
  cr_assert_null(http_json(&cleared, "price"));
  struct http_reply emptied =
      HTTP(.method = "PATCH", .path = path, .token = ada.token, .body = "{\"name\":\"\",\"sku\":null}");
  ASSERT_PROBLEM(emptied, 400, "INVALID_ARGUMENT");
  assert_violation(&emptied, "name");
  assert_violation(&emptied, "sku");
}

Test(e2e_03_items, attributes_come_back_as_they_were_sent)
{
  struct account ada = account_create();
  // These few bytes would take megabytes if the numbers were written out.
  const char *attributes = "{\"b\":[1e16000,-0.10,1E+5,1e999999],\"a\":{\"\":null}}";
  struct http_reply made =
      HTTP(.path = "/v1/items", .token = ada.token,
           .body = text("{\"sku\":\"%s\",\"name\":\"x\",\"attributes\":%s}", fresh_word(), attributes));
  ASSERT_STATUS(made, 201);
  cr_assert_str_eq(http_json(&made, "attributes"), attributes);
  struct http_reply read = HTTP(.path = text("/v1/items/%s", http_json(&made, "id")), .token = ada.token);
  cr_assert_str_eq(http_json(&read, "attributes"), attributes);
}

Test(e2e_03_items, a_change_that_is_refused_names_what_is_wrong_and_nothing_else)
{
  struct account ada = account_create();
  const char *id = item_create(&ada, text("{\"sku\":\"%s\",\"name\":\"x\"}", fresh_word()));
  struct http_reply reply =
      HTTP(.method = "PATCH", .path = text("/v1/items/%s", id), .token = ada.token, .body = "{\"name\":null}");
  ASSERT_PROBLEM(reply, 400, "INVALID_ARGUMENT");
  assert_violation(&reply, "name");
  cr_assert_eq(http_json_count(&reply, "violations"), 1, "%s", reply.body);
}

Test(e2e_03_items, attributes_that_postgresql_cannot_store_are_the_clients_fault)
{
  struct account ada = account_create();
  struct http_reply reply =
      HTTP(.path = "/v1/items", .token = ada.token,
           .body = text("{\"sku\":\"%s\",\"name\":\"x\",\"attributes\":{\"a\":\"\\u0000\"}}", fresh_word()));
  ASSERT_PROBLEM(reply, 400, "INVALID_ARGUMENT");
}

struct changer {
  const struct account *account;
  const char *id;
  int first;  // of its own values, because a change that is none keeps the etag
  struct background *thread;
};

static void change_often(void *arg)
{
  const struct changer *changer = arg;
  for (int i = 0; i < 10; i++)
    ASSERT_STATUS(HTTP(.method = "PATCH", .path = text("/v1/items/%s", changer->id), .token = changer->account->token,
                       .body = text("{\"quantity\":%d}", changer->first + i)),
                  200);
}

Test(e2e_03_items, changes_without_a_precondition_at_the_same_time_all_succeed)
{
  enum { CHANGERS = 8 };
  struct account ada = account_create();
  const char *id = item_create(&ada, text("{\"sku\":\"%s\",\"name\":\"x\"}", fresh_word()));
  struct changer changers[CHANGERS];
  for (int i = 0; i < CHANGERS; i++) {
    changers[i] = (struct changer){.account = &ada, .id = id, .first = 1 + 10 * i};
    changers[i].thread = background_start(change_often, &changers[i]);
  }
  for (int i = 0; i < CHANGERS; i++)
    background_join(changers[i].thread);
  struct http_reply reply = HTTP(.path = text("/v1/items/%s", id), .token = ada.token);
  cr_assert_str_eq(http_json(&reply, "etag"), text("%d", 1 + CHANGERS * 10), "a change was lost");
}
