// A client says how long it waits (Request-Timeout, Grpc-Timeout, Connect-Timeout-Ms), and that holds down to
// PostgreSQL.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/http.h"
#include "tests/support/stack.h"

#define SOME_ITEM "/v1/items/01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6b"

Test(e2e_17_deadlines, a_limit_that_cannot_be_read_is_refused_by_name)
{
  static const char *const WRONG[][2] = {
      {"Request-Timeout: 1s", "Request-Timeout"},
      {"Grpc-Timeout: 1.5S", "Grpc-Timeout"},
      {"Connect-Timeout-Ms: 0", "Connect-Timeout-Ms"},
  };
  for (size_t i = 0; i < ARRAY_LEN(WRONG); i++) {
    struct http_reply reply = HTTP(.path = SOME_ITEM, .headers = {WRONG[i][0]});
    ASSERT_PROBLEM(reply, 400, "INVALID_ARGUMENT");
    assert_violation(&reply, WRONG[i][1]);
  }
  struct http_reply twice = HTTP(.path = SOME_ITEM, .headers = {"Request-Timeout: 2", "Request-Timeout: 2"});
  ASSERT_PROBLEM(twice, 400, "INVALID_ARGUMENT");
  assert_violation(&twice, "Request-Timeout");
}

Test(e2e_17_deadlines, a_limit_that_is_over_before_the_call_is_504)
{
  struct account ada = account_create();
  const char *id = item_create(&ada, "{\"sku\":\"a\",\"name\":\"Lamp\"}");
  const char *path = text("/v1/items/%s", id);
  struct http_reply late = HTTP(.path = path, .token = ada.token, .headers = {"Grpc-Timeout: 1n"});
  ASSERT_PROBLEM(late, 504, "DEADLINE_EXCEEDED");
  cr_assert_str_eq(http_json(&late, "reason"), "NOT_APPLIED");
  ASSERT_STATUS(HTTP(.path = path, .token = ada.token, .headers = {"Request-Timeout: 3600"}), 200);
  ASSERT_STATUS(HTTP(.path = path, .token = ada.token, .headers = {"Connect-Timeout-Ms: 60000"}), 200);
}

static bool waits_for_insert(const void *wanted)
{
  return strcmp(sql("SELECT count(*) > 0 FROM pg_stat_activity WHERE usename = 'bulkhead_item' AND "
                    "wait_event_type = 'Lock' AND wait_event = 'transactionid'"),
                wanted) == 0;
}

// The method's own limit is 30 s, and the test gives up before.
Test(e2e_17_deadlines, at_the_deadline_the_statement_ends_in_postgresql)
{
  struct account ada = account_create();
  struct sql_transaction *other = sql_begin(
      text("INSERT INTO item.items (id, owner_id, sku, name, description, category, tags, quantity, attributes) "
           "VALUES (gen_random_uuid(), '%s', 'same', 'n', '', '', '{}', 0, '{}')",
           ada.id));
  struct http_reply reply =
      HTTP(.path = "/v1/items:batchCreate", .token = ada.token, .timeout_ms = 25000,
           .headers = {"Request-Timeout: 1.5"}, .body = "{\"items\":[{\"sku\":\"same\",\"name\":\"Lamp\"}]}");
  ASSERT_PROBLEM(reply, 504, "DEADLINE_EXCEEDED");
  // PostgreSQL's word that nothing has happened may come too late on a busy machine.
  const char *reason = http_json(&reply, "reason");
  cr_assert(strcmp(reason, "NOT_APPLIED") == 0 || strcmp(reason, "OUTCOME_UNKNOWN") == 0, "%s", reason);
  // The other transaction goes on, and nothing waits for it any more.
  wait_until(waits_for_insert, "f", "the end of the statement");
  sql_commit(other);
  cr_assert_str_eq(sql("SELECT count(*) FROM item.items WHERE owner_id = '%s'", ada.id), "1");
}
