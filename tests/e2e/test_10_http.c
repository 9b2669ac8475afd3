// HTTP as its clients expect it (RFC 9110): methods, preconditions, masks, ways to write a path.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/http.h"
#include "tests/support/raw.h"

#define SOME_ITEM "/v1/items/01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6b"

// ---- methods ----

Test(e2e_10_http, options_tells_the_methods_of_a_path)
{
  static const char *const ALLOWED[][2] = {{SOME_ITEM, "GET, HEAD, PATCH, DELETE, OPTIONS"},
                                           {"/v1/items", "GET, HEAD, POST, OPTIONS"},
                                           {"/v1/items:batchCreate", "POST, OPTIONS"},
                                           {"/openapi.json", "GET, HEAD, OPTIONS"},
                                           {"/docs", "GET, HEAD, OPTIONS"},
                                           {"/healthz", "GET, HEAD, OPTIONS"}};
  for (size_t i = 0; i < ARRAY_LEN(ALLOWED); i++) {
    struct http_reply reply = HTTP(.method = "OPTIONS", .path = ALLOWED[i][0]);
    ASSERT_STATUS(reply, 204);
    cr_assert_str_eq(http_header(&reply, "Allow"), ALLOWED[i][1], "%s", ALLOWED[i][0]);
  }
  struct http_reply item = HTTP(.method = "OPTIONS", .path = SOME_ITEM);
  cr_assert_str_eq(http_header(&item, "Accept-Patch"), "application/merge-patch+json, application/json");
  struct http_reply items = HTTP(.method = "OPTIONS", .path = "/v1/items");
  cr_assert_null(http_header(&items, "Accept-Patch"));
  struct http_reply nothing = HTTP(.method = "OPTIONS", .path = "/v1/nothing");
  ASSERT_PROBLEM(nothing, 404, "NOT_FOUND");
}

// curl cannot send this one.
Test(e2e_10_http, options_of_a_star_tells_the_methods_of_the_server)
{
  struct raw *raw = RAW(.url = getenv("BULKHEAD_URL"));
  cr_assert(raw_send_text(raw, "OPTIONS * HTTP/1.1\r\nHost: bulkhead\r\n\r\n"));
  const char *reply = raw_read_all(raw);
  raw_close(&raw);
  cr_assert(strncmp(reply, "HTTP/1.1 204 ", 13) == 0, "%s", reply);
  cr_assert(strstr(reply, "\r\nAllow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n") != NULL, "%s", reply);
}

Test(e2e_10_http, methods_that_nobody_takes_learn_all_that_the_path_has)
{
  static const char *const METHODS[] = {"TRACE", "CONNECT", "BREW", "PUT", "PROPFIND"};
  for (size_t i = 0; i < ARRAY_LEN(METHODS); i++) {
    struct http_reply reply = HTTP(.method = METHODS[i], .path = SOME_ITEM);
    ASSERT_PROBLEM(reply, 405, "UNIMPLEMENTED");
    cr_assert_str_eq(http_header(&reply, "Allow"), "GET, HEAD, PATCH, DELETE, OPTIONS", "%s", METHODS[i]);
  }
}

// ---- paths ----

Test(e2e_10_http, a_verb_may_be_percent_encoded)
{
  ASSERT_STATUS(HTTP(.method = "POST", .path = "/v1/items:batch%43reate"), 401);
  ASSERT_STATUS(HTTP(.method = "POST", .path = "/v1/items%3AbatchCreate"), 404);
  ASSERT_STATUS(HTTP(.path = "/v1%2Fitems"), 404);
}

Test(e2e_10_http, paths_with_dot_segments_lead_nowhere)
{
  static const char *const PATHS[] = {"/v1/../v1/items", "/v1/%2e%2e/v1/items", "/v1/./items", "/v1//items",
                                      "//v1/items",      "/v1/items/..",        "/v1/items/",  "/v1/users/.%2E/items"};
  for (size_t i = 0; i < ARRAY_LEN(PATHS); i++) {
    struct http_reply reply = HTTP(.path = PATHS[i]);
    ASSERT_PROBLEM(reply, 404, "NOT_FOUND");
  }
  struct http_reply above = HTTP(.path = "/../v1/items");
  ASSERT_PROBLEM(above, 400, "INVALID_ARGUMENT");
}

// ---- ids ----

static const char *in_capitals(const char *id)
{
  char *upper = text("%s", id);
  for (char *at = upper; *at != '\0'; at++)
    *at = (char)(*at >= 'a' && *at <= 'f' ? *at & ~0x20 : *at);
  return upper;
}

Test(e2e_10_http, an_id_is_the_same_in_capitals)
{
  struct account ada = account_create();
  const char *id = item_create(&ada, text("{\"sku\":\"%s\",\"name\":\"Lamp\"}", fresh_word()));
  const char *path = text("/v1/items/%s", in_capitals(id));
  struct http_reply read = HTTP(.path = path, .token = ada.token);
  ASSERT_STATUS(read, 200);
  struct http_reply changed =
      HTTP(.method = "PATCH", .path = path, .token = ada.token, .body = "{\"name\":\"Desk lamp\"}");
  ASSERT_STATUS(changed, 200);
  read = HTTP(.path = text("/v1/items/%s", id), .token = ada.token);
  cr_assert_str_eq(http_json(&read, "name"), "Desk lamp");
  struct http_reply list = HTTP(.path = text("/v1/items?ownerId=%s", in_capitals(ada.id)), .token = ada.token);
  cr_assert_eq(http_json_count(&list, "items"), 1);
  ASSERT_STATUS(HTTP(.path = text("/v1/users/%s", in_capitals(ada.id)), .token = ada.token), 200);
  ASSERT_STATUS(HTTP(.method = "DELETE", .path = path, .token = ada.token), 204);
  ASSERT_STATUS(HTTP(.path = text("/v1/items/%s", id), .token = ada.token), 404);
}

// ---- preconditions ----

struct owned {
  struct account account;
  const char *path;
};

static struct owned make_item(void)
{
  struct owned owned = {.account = account_create()};
  owned.path = text("/v1/items/%s", item_create(&owned.account, text("{\"sku\":\"%s\",\"name\":\"Lamp\","
                                                                     "\"description\":\"Brass\",\"quantity\":3}",
                                                                     fresh_word())));
  return owned;
}

static struct http_reply read_item(const struct owned *item)
{
  struct http_reply reply = HTTP(.path = item->path, .token = item->account.token);
  ASSERT_STATUS(reply, 200);
  return reply;
}

static struct http_reply patch(const struct owned *item, const char *query, const char *body, const char *header)
{
  return HTTP(.method = "PATCH", .path = text("%s%s", item->path, query), .token = item->account.token, .body = body,
              .headers = {header});
}

Test(e2e_10_http, if_none_match_guards_changes)
{
  struct owned item = make_item();
  struct http_reply read = read_item(&item);
  const char *etag = http_header(&read, "ETag");
  const char *excluded[] = {"If-None-Match: *", text("If-None-Match: %s", etag), text("If-None-Match: W/%s", etag),
                            text("If-None-Match: \"other\", %s", etag)};
  for (size_t i = 0; i < ARRAY_LEN(excluded); i++) {
    struct http_reply refused = patch(&item, "", "{\"quantity\":4}", excluded[i]);
    ASSERT_PROBLEM(refused, 412, "ABORTED");
    cr_assert_str_eq(http_json(&refused, "reason"), "ETAG_EXCLUDED", "%s", excluded[i]);
    refused = HTTP(.method = "DELETE", .path = item.path, .token = item.account.token, .headers = {excluded[i]});
    ASSERT_PROBLEM(refused, 412, "ABORTED");
  }
  read = read_item(&item);
  cr_assert_str_eq(http_header(&read, "ETag"), etag);
  struct http_reply changed = patch(&item, "", "{\"quantity\":4}", "If-None-Match: \"other\"");
  ASSERT_STATUS(changed, 200);
  struct http_reply malformed = patch(&item, "", "{\"quantity\":5}", "If-None-Match: other");
  ASSERT_PROBLEM(malformed, 400, "INVALID_ARGUMENT");
  assert_violation(&malformed, "If-None-Match");
  ASSERT_STATUS(
      HTTP(.method = "DELETE", .path = item.path, .token = item.account.token, .headers = {"If-None-Match: \"other\""}),
      204);
  struct http_reply gone = patch(&item, "", "{\"quantity\":4}", "If-None-Match: *");
  ASSERT_PROBLEM(gone, 404, "NOT_FOUND");
}

Test(e2e_10_http, what_comes_in_a_header_comes_nowhere_else)
{
  struct owned item = make_item();
  struct http_reply reply =
      HTTP(.method = "DELETE", .path = text("%s?ifMatch=*", item.path), .token = item.account.token);
  ASSERT_PROBLEM(reply, 400, "INVALID_ARGUMENT");
  assert_violation(&reply, "ifMatch");
  reply = patch(&item, "?if_none_match=*", "{\"quantity\":4}", NULL);
  ASSERT_PROBLEM(reply, 400, "INVALID_ARGUMENT");
  assert_violation(&reply, "if_none_match");
}

// ---- changes ----

Test(e2e_10_http, a_patch_that_changes_nothing_keeps_etag_and_time)
{
  struct owned item = make_item();
  struct http_reply before = read_item(&item);
  // Both ways to store: one statement for all fields, and the one that changes travel together in.
  static const char *const SAME[] = {"{\"name\":\"Lamp\"}",
                                     "{\"quantity\":3}",
                                     "{\"quantity\":3,\"tags\":[]}",
                                     "{}",
                                     "{\"description\":\"Brass\",\"price\":null}",
                                     "{\"attributes\":null}",
                                     "{\"attributes\":{}}"};
  for (size_t i = 0; i < ARRAY_LEN(SAME); i++) {
    struct http_reply reply = patch(&item, "", SAME[i], NULL);
    ASSERT_STATUS(reply, 200);
    cr_assert_str_eq(http_header(&reply, "ETag"), http_header(&before, "ETag"), "%s", SAME[i]);
    cr_assert_str_eq(reply.body, before.body, "%s", SAME[i]);
  }
  struct http_reply stale = patch(&item, "", "{\"quantity\":3}", "If-Match: \"other\"");
  ASSERT_PROBLEM(stale, 412, "ABORTED");
  struct http_reply changed = patch(&item, "", "{\"quantity\":4}", NULL);
  cr_assert_str_neq(http_header(&changed, "ETag"), http_header(&before, "ETag"));
  cr_assert_str_neq(http_json(&changed, "updateTime"), http_json(&before, "updateTime"));
}

// Two instances answer in turn, each with rows in memory.
Test(e2e_10_http, a_change_back_is_never_taken_for_none)
{
  struct owned item = make_item();
  const char *etag = "";
  for (int i = 0; i < 100; i++) {
    struct http_reply reply = patch(&item, "", text("{\"quantity\":%d}", i % 2), NULL);
    ASSERT_STATUS(reply, 200);
    cr_assert_str_eq(http_json(&reply, "quantity"), text("%d", i % 2));
    cr_assert_str_neq(http_header(&reply, "ETag"), etag, "change %d", i);
    etag = http_header(&reply, "ETag");
    struct http_reply read = read_item(&item);
    cr_assert_str_eq(http_json(&read, "quantity"), text("%d", i % 2));
  }
}

Test(e2e_10_http, a_mask_names_what_is_changed)
{
  struct owned item = make_item();
  struct http_reply reply = patch(&item, "?updateMask=name", "{\"name\":\"Desk lamp\",\"quantity\":9}", NULL);
  ASSERT_STATUS(reply, 200);
  cr_assert_str_eq(http_json(&reply, "name"), "Desk lamp");
  cr_assert_str_eq(http_json(&reply, "quantity"), "3");
  reply = patch(&item, "?updateMask=name,description", "{\"name\":\"Lamp\"}", NULL);
  ASSERT_PROBLEM(reply, 400, "INVALID_ARGUMENT");
  assert_violation(&reply, "description");
  reply = patch(&item, "?updateMask=description", "{\"description\":null}", NULL);
  ASSERT_STATUS(reply, 200);
  cr_assert_str_eq(http_json(&reply, "description"), "");
  reply = patch(&item, "?updateMask=*", text("{\"sku\":\"%s\",\"name\":\"All\"}", fresh_word()), NULL);
  ASSERT_STATUS(reply, 200);
  cr_assert_str_eq(http_json(&reply, "quantity"), "0");
  reply = patch(&item, "?updateMask=*", "{\"name\":\"All\"}", NULL);
  ASSERT_PROBLEM(reply, 400, "INVALID_ARGUMENT");
  assert_violation(&reply, "sku");
  reply = HTTP(.method = "PATCH", .path = "/v1/users/me?updateMask=display_name", .token = item.account.token,
               .body = "{\"displayName\":\"Countess\"}");
  ASSERT_STATUS(reply, 200);
  cr_assert_str_eq(http_json(&reply, "displayName"), "Countess");
}

static struct http_reply merge(const struct owned *item, const char *body)
{
  return HTTP(.method = "PATCH", .path = item->path, .token = item->account.token, .body = body,
              .content_type = "application/merge-patch+json");
}

Test(e2e_10_http, a_merge_patch_is_taken)
{
  struct owned item = make_item();
  struct http_reply reply = merge(&item, "{\"name\":\"Desk lamp\",\"description\":null}");
  ASSERT_STATUS(reply, 200);
  cr_assert_str_eq(http_json(&reply, "name"), "Desk lamp");
  cr_assert_str_eq(http_json(&reply, "description"), "");
  cr_assert_str_eq(http_json(&reply, "quantity"), "3");
  reply = merge(&item, "{\"name\":null}");
  ASSERT_PROBLEM(reply, 400, "INVALID_ARGUMENT");
  assert_violation(&reply, "name");
}

Test(e2e_10_http, a_merge_patch_changes_members_of_attributes)
{
  struct owned item = make_item();
  struct http_reply reply = merge(&item, "{\"attributes\":{\"colour\":\"brass\",\"size\":{\"cm\":40,\"kg\":3}}}");
  ASSERT_STATUS(reply, 200);
  reply = merge(&item, "{\"attributes\":{\"colour\":null,\"size\":{\"kg\":4}}}");
  ASSERT_STATUS(reply, 200);
  cr_assert_str_eq(http_json(&reply, "attributes"), "{\"size\":{\"cm\":40,\"kg\":4}}");
  const char *etag = http_header(&reply, "ETag");
  reply = merge(&item, "{\"attributes\":{\"colour\":null,\"size\":{\"cm\":40}}}");
  ASSERT_STATUS(reply, 200);
  cr_assert_str_eq(http_header(&reply, "ETag"), etag);
  reply = patch(&item, "", "{\"attributes\":{\"colour\":\"red\"}}", NULL);
  cr_assert_str_eq(http_json(&reply, "attributes"), "{\"colour\":\"red\"}");
  // Each patch is short enough, the result of both is not.
  ASSERT_STATUS(merge(&item, text("{\"attributes\":{\"a\":\"%09000d\"}}", 0)), 200);
  reply = merge(&item, text("{\"attributes\":{\"b\":\"%09000d\"}}", 0));
  ASSERT_PROBLEM(reply, 400, "INVALID_ARGUMENT");
  assert_violation(&reply, "attributes");
}

Test(e2e_10_http, other_types_learn_what_is_taken)
{
  struct owned item = make_item();
  struct http_reply refused = HTTP(.method = "PATCH", .path = item.path, .token = item.account.token, .body = "[]",
                                   .content_type = "application/json-patch+json");
  ASSERT_PROBLEM(refused, 415, "INVALID_ARGUMENT");
  cr_assert_str_eq(http_header(&refused, "Accept-Patch"), "application/merge-patch+json, application/json");
  refused = HTTP(.path = "/v1/items", .token = item.account.token, .body = "{}",
                 .content_type = "application/merge-patch+json");
  ASSERT_PROBLEM(refused, 415, "INVALID_ARGUMENT");
  cr_assert_str_eq(http_header(&refused, "Accept"), "application/json");
}

// ---- problems ----

static void assert_reason(const struct http_reply *reply, const char *reason, const char *type)
{
  cr_assert_str_eq(http_json(reply, "reason"), reason, "%s", reply->body);
  cr_assert_str_eq(http_json(reply, "type"), type, "%s", reply->body);
}

Test(e2e_10_http, every_problem_has_a_reason)
{
  struct http_reply malformed = HTTP(.path = "/v1/auth/login", .body = "{\"email\"");
  assert_reason(&malformed, "INVALID_REQUEST", "urn:bulkhead:problem:invalid-request");
  struct http_reply large =
      HTTP(.path = "/v1/auth/login", .body = text("{\"email\":\"%06000000d\"}", 0), .method = "POST");
  ASSERT_STATUS(large, 413);
  assert_reason(&large, "BODY_TOO_LARGE", "urn:bulkhead:problem:body-too-large");
  struct http_reply above = HTTP(.path = "/../v1/items");
  assert_reason(&above, "BAD_REQUEST", "urn:bulkhead:problem:bad-request");
  struct http_reply file = HTTP(.path = "/docs/none");
  assert_reason(&file, "NOT_FOUND", "urn:bulkhead:problem:not-found");
  struct http_reply method = HTTP(.method = "DELETE", .path = "/docs");
  assert_reason(&method, "METHOD_NOT_ALLOWED", "urn:bulkhead:problem:method-not-allowed");
}

Test(e2e_10_http, a_violation_names_what_the_client_has_sent)
{
  struct account ada = account_create();
  struct http_reply reply =
      HTTP(.method = "PATCH", .path = "/v1/users/7", .token = ada.token, .body = "{\"displayName\":\"\"}");
  ASSERT_PROBLEM(reply, 400, "INVALID_ARGUMENT");
  assert_violation(&reply, "id");
  assert_violation(&reply, "displayName");
}

// ---- one's own account ----

Test(e2e_10_http, me_is_changed_and_deleted)
{
  struct account ada = account_create();
  struct account eve = account_create();
  struct http_reply me = HTTP(.path = "/v1/users/me", .token = ada.token);
  const char *etag = http_header(&me, "ETag");
  struct http_reply changed = HTTP(.method = "PATCH", .path = "/v1/users/me", .token = ada.token,
                                   .body = "{\"displayName\":\"Countess\"}", .headers = {text("If-Match: %s", etag)});
  ASSERT_STATUS(changed, 200);
  cr_assert_str_eq(http_json(&changed, "id"), ada.id);
  cr_assert_str_eq(http_json(&changed, "displayName"), "Countess");
  struct http_reply stale =
      HTTP(.method = "DELETE", .path = "/v1/users/me", .token = ada.token, .headers = {text("If-Match: %s", etag)});
  ASSERT_PROBLEM(stale, 412, "ABORTED");
  struct http_reply moved = HTTP(.method = "PATCH", .path = "/v1/users/me", .token = ada.token,
                                 .body = text("{\"email\":\"%s\"}", fresh_email()));
  ASSERT_PROBLEM(moved, 400, "INVALID_ARGUMENT");
  assert_violation(&moved, "email");
  struct http_reply invalid =
      HTTP(.method = "PATCH", .path = "/v1/users/me", .token = ada.token, .body = "{\"displayName\":\"\"}");
  ASSERT_PROBLEM(invalid, 400, "INVALID_ARGUMENT");
  assert_violation(&invalid, "displayName");
  struct http_reply other = HTTP(.method = "DELETE", .path = text("/v1/users/me?id=%s", eve.id), .token = ada.token);
  ASSERT_PROBLEM(other, 400, "INVALID_ARGUMENT");
  ASSERT_STATUS(HTTP(.method = "DELETE", .path = "/v1/users/me"), 401);
  ASSERT_STATUS(HTTP(.method = "DELETE", .path = "/v1/users/me", .token = ada.token), 204);
  struct http_reply gone = HTTP(.path = "/v1/users/me", .token = ada.token);
  cr_assert(gone.status == 404 || gone.status == 401, "%d: the account is gone, and within a second its tokens",
            gone.status);
  ASSERT_STATUS(HTTP(.path = "/v1/users/me", .token = eve.token), 200);
  ASSERT_STATUS(account_login(ada.email, ada.password), 401);
}
