// Streams of REST, as a client sees them that looks at the bytes.
#include <criterion/criterion.h>
#include <string.h>

#include "tests/support/environment.h"
#include "tests/support/stack.h"
#include "tests/support/watch.h"

static const char *create(const struct account *owner, const char *sku)
{
  return item_create(owner, text("{\"sku\":\"%s\",\"name\":\"Lamp\",\"tags\":[\"%s\"]}", sku, sku));
}

Test(e2e_28_streams, changes_come_as_events)
{
  struct account ada = account_create();
  const char *word = fresh_word();
  struct raw *watch = WATCH(.account = &ada, .query = text("tag=%s", word));
  const char *id = create(&ada, word);
  const char *seen = raw_read_until(watch, "ITEM_CHANGE_KIND_CREATED");
  cr_expect_not_null(strstr(seen, "Content-Type: text/event-stream\r\n"));
  cr_expect_not_null(strstr(seen, "Cache-Control: no-store\r\n"));
  cr_expect_null(strstr(seen, "Content-Encoding"));
  ASSERT_STATUS(HTTP(.method = "DELETE", .path = text("/v1/items/%s", id), .token = ada.token), 204);
  seen = raw_read_until(watch, "ITEM_CHANGE_KIND_DELETED");
  cr_expect_not_null(strstr(seen, id));
  raw_close(&watch);
}

Test(e2e_28_streams, a_browser_that_was_cut_off_misses_nothing)
{
  struct account ada = account_create();
  const char *word = fresh_word();
  const char *query = text("tag=%s", word);
  struct raw *watch = WATCH(.account = &ada, .query = query);
  create(&ada, word);
  const char *id = watch_last_id(raw_read_until(watch, "ITEM_CHANGE_KIND_CREATED"));
  raw_close(&watch);
  const char *missed = item_create(&ada, text("{\"sku\":\"%s-2\",\"name\":\"Lamp\",\"tags\":[\"%s\"]}", word, word));
  watch = watch_begin(&(struct watch_request){.account = &ada, .query = query, .last_event_id = id});
  const char *seen = raw_read_until(watch, "ITEM_CHANGE_KIND_CREATED");
  cr_expect_not_null(strstr(raw_read_until(watch, missed), missed));
  cr_expect_null(strstr(strstr(seen, "ITEM_CHANGE_KIND_CREATED") + 1, "ITEM_CHANGE_KIND_CREATED"), "told twice");
  raw_close(&watch);
}

Test(e2e_28_streams, a_client_chooses_the_form)
{
  struct account ada = account_create();
  static const struct {
    const char *accept, *type, *begin;
  } FORMS[] = {{"*/*", "application/x-ndjson", "{\"kind\""},
               {"application/json", "application/json", "[{\"kind\""},
               {"text/*", "text/event-stream", "id: "}};
  for (size_t i = 0; i < 3; i++) {
    struct raw *watch = watch_begin(&(struct watch_request){.account = &ada, .accept = FORMS[i].accept});
    const char *seen = raw_read_until(watch, FORMS[i].begin);
    cr_expect_not_null(strstr(seen, text("Content-Type: %s\r\n", FORMS[i].type)), "%s", seen);
    raw_close(&watch);
  }
  struct http_reply reply = HTTP(.path = "/v1/items:watch", .token = ada.token, .headers = {"Accept: application/xml"});
  ASSERT_PROBLEM(reply, 406, "INVALID_ARGUMENT");
}

Test(e2e_28_streams, what_is_refused_before_it_begins_is_a_problem)
{
  struct account ada = account_create();
  ASSERT_PROBLEM(HTTP(.path = "/v1/items:watch"), 401, "UNAUTHENTICATED");
  ASSERT_PROBLEM(HTTP(.path = "/v1/items:watch?resumeToken=nonsense", .token = ada.token), 400, "INVALID_ARGUMENT");
  ASSERT_PROBLEM(HTTP(.path = "/v1/items:watch?other=1", .token = ada.token), 400, "INVALID_ARGUMENT");
}

Test(e2e_28_streams, the_answer_to_head_is_a_head)
{
  struct account ada = account_create();
  struct http_reply reply = HTTP(.method = "HEAD", .path = "/v1/items:watch", .token = ada.token);
  ASSERT_STATUS(reply, 200);
  cr_expect_str_eq(http_header(&reply, "Content-Type"), "application/x-ndjson");
  cr_expect_eq(reply.body_size, 0);
}

Test(e2e_28_streams, a_stream_ends_with_its_session)
{
  struct account ada = account_create();
  struct raw *watch = WATCH(.account = &ada);
  ASSERT_STATUS(HTTP(.path = "/v1/auth/logout", .body = text("{\"refreshToken\":\"%s\"}", ada.refresh_token)), 204);
  raw_read_until(watch, "event: problem");
  const char *seen = raw_read_until(watch, "\r\n0\r\n\r\n");
  cr_expect_not_null(strstr(seen, "\"TOKEN_REVOKED\""), "%s", seen);
  raw_close(&watch);
}

// The reply of a stream that fails while it is read must end once: the connection would be reset before its client has
// read why.
Test(e2e_28_streams, a_line_that_is_none_is_told_while_others_come)
{
  struct account ada = account_create();
  size_t before = log_size("gateway");
  struct raw *raw = RAW(.url = need_variable("BULKHEAD_URL"));
  cr_assert(raw_send_text(raw, text("POST /v1/items:import HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n"
                                    "Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
                                    "2\r\n{\n\r\n",
                                    ada.token)));
  const char *seen = raw_read_until(raw, "\"violations\"");
  cr_expect_not_null(strstr(seen, "HTTP/1.1 400"), "%s", seen);
  raw_send_text(raw, "3\r\n{}\n\r\n0\r\n\r\n");
  raw_close(&raw);
  cr_expect_null(strstr(log_since("gateway", before), "header already sent"));
}

static bool nobody_watches(const void *arg)
{
  (void)arg;
  return metric_sum("gateway", "bulkhead_http_streams_open") == 0;
}

Test(e2e_28_streams, clients_that_leave_take_their_streams_with_them)
{
  struct account ada = account_create();
  struct raw *watches[20];
  for (size_t i = 0; i < 20; i++)
    watches[i] = WATCH(.account = &ada);
  cr_expect_geq(metric_sum("gateway", "bulkhead_http_streams_open"), 20);
  for (size_t i = 0; i < 20; i++)
    if (i % 2 == 0)
      raw_close(&watches[i]);
    else
      raw_reset(&watches[i]);
  wait_until(nobody_watches, NULL, "a gateway without streams");
}
