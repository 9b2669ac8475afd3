// Outages of single parts: what still works, how the rest is refused, and that everything recovers by itself.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/http.h"
#include "tests/support/stack.h"

TestSuite(fault_03_outages, .fini = thaw_postgres);

struct told {
  const char *request_id;
  const char *cause;
};

static bool is_told(const void *arg)
{
  const struct told *told = arg;
  const char *command = text("grep -h '\"%s\"' %s/log/*.log | grep -c '\"cause\":\"%s' || true", told->request_id,
                             getenv("BULKHEAD_RUN_DIR"), told->cause);
  return strncmp(output_of((const char *const[]){"sh", "-c", command, NULL}), "0", 1) != 0;
}

// From the request id of a problem the logs lead to its cause.
static void assert_told(const struct http_reply *reply, const char *cause)
{
  const struct told told = {.request_id = http_json(reply, "requestId"), .cause = cause};
  wait_until(is_told, &told, cause);
}

static const char *make_item(const struct account *owner)
{
  return item_create(owner, text("{\"sku\":\"%s\",\"name\":\"Thing\"}", fresh_word()));
}

// What waits until the deadline gets 504 instead.
static void assert_unavailable(const struct http_reply *reply)
{
  ASSERT_PROBLEM(*reply, 503, "UNAVAILABLE");
  cr_assert_not_null(http_header(reply, "Retry-After"));
}

Test(fault_03_outages, without_item_services_items_are_503_and_the_rest_works)
{
  struct account ada = account_create();
  const char *path = text("/v1/items/%s", make_item(&ada));
  stack("stop", "item-1");
  stack("stop", "item-2");
  struct http_reply reply = HTTP(.path = path, .token = ada.token);
  assert_unavailable(&reply);
  ASSERT_STATUS(HTTP(.path = "/v1/users/me", .token = ada.token), 200);
  stack("start", "item-1");
  stack("start", "item-2");
  wait_until_healthy();
  ASSERT_STATUS(HTTP(.path = path, .token = ada.token), 200);
}

Test(fault_03_outages, without_postgresql_writes_are_503_within_the_deadline)
{
  struct account ada = account_create();
  stack("stop", "postgres");
  struct http_reply reply = HTTP(.path = "/v1/items", .token = ada.token, .body = "{\"sku\":\"a\",\"name\":\"b\"}");
  assert_unavailable(&reply);
  assert_told(&reply, "PostgreSQL cannot be reached");
  struct http_reply login = account_login(ada.email, ada.password);
  assert_unavailable(&login);
  assert_told(&login, "PostgreSQL cannot be reached");
  stack("start", "postgres");
  wait_until_healthy();
  make_item(&ada);
}

// PostgreSQL keeps its connections open and answers nothing.
Test(fault_03_outages, with_a_frozen_postgresql_everything_is_503_at_once_and_recovers_by_itself)
{
  struct account ada = account_create();
  freeze_postgres();
  struct http_reply reply = HTTP(.path = "/v1/items", .token = ada.token);
  assert_unavailable(&reply);
  reply = HTTP(.path = "/v1/items", .token = ada.token, .body = "{\"sku\":\"a\",\"name\":\"b\"}");
  assert_unavailable(&reply);
  cr_expect_str_eq(http_json(&reply, "reason"), "NOT_APPLIED");
  assert_told(&reply, "PostgreSQL does not answer");
  thaw_postgres();
  wait_until_healthy();
  make_item(&ada);
}

// ALTER TABLE takes such a lock. It stops what needs the table, and nothing else.
Test(fault_03_outages, a_locked_table_stops_its_own_requests_only)
{
  struct account ada = account_create();
  const char *path = text("/v1/items/%s", make_item(&ada));
  struct sql_transaction *lock = sql_begin("LOCK TABLE item.items IN ACCESS EXCLUSIVE MODE");
  struct http_reply list = HTTP(.path = "/v1/items", .token = ada.token, .timeout_ms = 15000);
  ASSERT_PROBLEM(list, 504, "DEADLINE_EXCEEDED");
  assert_told(&list, "PostgreSQL has not done it in time");
  struct http_reply patch =
      HTTP(.method = "PATCH", .path = path, .token = ada.token, .body = "{\"quantity\":2}", .timeout_ms = 15000);
  ASSERT_PROBLEM(patch, 504, "DEADLINE_EXCEEDED");
  cr_expect_str_eq(http_json(&patch, "reason"), "NOT_APPLIED");
  ASSERT_STATUS(HTTP(.path = "/v1/users/me", .token = ada.token), 200);
  sql_commit(lock);
  // The services have stayed ready, so nobody waits for them to come back.
  ASSERT_STATUS(HTTP(.path = "/v1/items", .token = ada.token), 200);
}

static bool is_silent(const void *arg)
{
  (void)arg;
  const char *command = text("curl -s --noproxy '*' -o /dev/null %s/healthz || echo silent", getenv("BULKHEAD_URL"));
  return strncmp(output_of((const char *const[]){"sh", "-c", command, NULL}), "silent", strlen("silent")) == 0;
}

// nginx' workers do not mind by themselves whether their master lives.
Test(fault_03_outages, the_gateways_workers_end_with_their_master)
{
  stack("kill", "gateway");
  wait_until(is_silent, NULL, "the workers of a killed gateway go on");
  stack("start", "gateway");
  wait_until_healthy();
}
