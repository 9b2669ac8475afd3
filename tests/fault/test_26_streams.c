// Streams while processes are replaced and die, and with clients that stop reading.
#include <criterion/criterion.h>
#include <string.h>

#include "common/base/strbuf.h"
#include "tests/support/gateway.h"
#include "tests/support/stack.h"
#include "tests/support/watch.h"

static const char *create(const struct account *owner, const char *word, const char *sku)
{
  return item_create(owner, text("{\"sku\":\"%s\",\"name\":\"Lamp\",\"tags\":[\"%s\"]}", sku, word));
}

static void stop_gateway(void)
{
  stack("stop", "gateway-71");
}

Test(fault_26_streams, go_on_over_a_reload_and_end_with_the_gateway, .fini = stop_gateway)
{
  struct account ada = account_create();
  const char *word = fresh_word();
  struct gateway_place place = gateway_start("gateway-71");
  struct raw *watch = WATCH(.account = &ada, .url = place.plain_url, .query = text("tag=%s", word));
  stack("reload", "gateway-71");
  const char *id = create(&ada, word, fresh_word());
  cr_expect_not_null(strstr(raw_read_until(watch, "ITEM_CHANGE_KIND_CREATED"), id));
  struct raw *second = WATCH(.account = &ada, .url = place.plain_url, .query = text("tag=%s", word));
  stack("stop", "gateway-71");
  raw_read_until(watch, "event: problem");
  raw_read_until(second, "event: problem");
  cr_expect_not_null(strstr(raw_read_all(second), "\"NOT_APPLIED\""));
  raw_close(&watch);
  raw_close(&second);
}

static void restart_items(void)
{
  stack("restart", "item-1");
  stack("restart", "item-2");
}

// Whichever instance a watch is at, it is told when that dies, and goes on at the other one.
Test(fault_26_streams, a_service_that_dies_ends_them_and_nothing_is_missed, .fini = restart_items)
{
  struct account ada = account_create();
  const char *word = fresh_word();
  const char *query = text("tag=%s", word);
  struct raw *watch = WATCH(.account = &ada, .query = query);
  create(&ada, word, fresh_word());
  const char *last = watch_last_id(raw_read_until(watch, "ITEM_CHANGE_KIND_CREATED"));
  stack("kill", "item-1");
  wait_until_items_change();
  const char *missed = create(&ada, word, fresh_word());
  stack("start", "item-1");
  wait_until_healthy();
  stack("kill", "item-2");
  const char *seen = raw_read_until(watch, "\r\n0\r\n\r\n");
  cr_expect_not_null(strstr(seen, "event: problem"), "%s", seen);
  cr_expect_not_null(strstr(seen, "\"NOT_APPLIED\""), "%s", seen);
  raw_close(&watch);
  wait_until_items_change();
  watch = watch_begin(&(struct watch_request){.account = &ada, .query = query, .last_event_id = last});
  raw_read_until(watch, missed);
  raw_close(&watch);
}

// Creates fewer items than wait for a watcher, with long descriptions, and returns the id of the last.
static const char *create_many(const struct account *owner, const char *tag)
{
  struct strbuf body;
  strbuf_init(&body, 0);
  const char *sku = fresh_word();
  for (size_t i = 0; i < 200; i++)
    strbuf_printf(&body, "%s{\"sku\":\"%s-%zu\",\"name\":\"Lamp\",\"tags\":[\"%s\"],\"description\":\"%0900d\"}",
                  i == 0 ? "{\"items\":[" : ",", sku, i, tag, 0);
  strbuf_add(&body, SLICE("]}"));
  struct http_reply reply = HTTP(.path = "/v1/items:batchCreate", .token = owner->token, .body = strbuf_cstring(&body));
  ASSERT_STATUS(reply, 200);
  strbuf_free(&body);
  return http_json(&reply, "items[199].id");
}

static bool nobody_watches(const void *arg)
{
  (void)arg;
  return metric_sum("gateway", "bulkhead_http_streams_open") == 0;
}

// What nobody reads fills the buffers on the way, and then waits in its service, which ends the watch.
Test(fault_26_streams, clients_that_stop_reading_hold_nobody_up)
{
  enum { SLOW = 20, BATCHES = 30 };
  struct account ada = account_create();
  const char *tag = fresh_word();
  const char *query = text("tag=%s", tag);
  struct raw *slow[SLOW];
  for (size_t i = 0; i < SLOW; i++)
    slow[i] = WATCH(.account = &ada, .query = query);
  struct raw *quick = WATCH(.account = &ada, .query = query);
  for (size_t i = 0; i < BATCHES; i++)
    raw_read_until(quick, create_many(&ada, tag));
  raw_close(&quick);
  wait_until(nobody_watches, NULL, "an end of the watches that nobody reads");
  for (size_t i = 0; i < SLOW; i++)
    raw_close(&slow[i]);
}
