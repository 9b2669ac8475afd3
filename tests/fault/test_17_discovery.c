// What instances are found by while PostgreSQL or Consul is away, forgets or freezes.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/http.h"
#include "tests/support/stack.h"
#include "tests/support/steady_client.h"

enum { CHECKED_PROCESSES = 4, ENOUGH_READS = 200 };

static void heal(void)
{
  thaw_postgres();
}

TestSuite(fault_17_discovery, .fini = heal);

static int count_text(const char *body, const char *part)
{
  int count = 0;
  for (const char *at = strstr(body, part); at != NULL; at = strstr(at + 1, part))
    count++;
  return count;
}

// ---- PostgreSQL ----

// Consul keeps what a check was answered last.
static bool all_checked_without_postgres(const void *arg)
{
  (void)arg;
  struct http_reply checks = consul_get("/v1/agent/checks");
  return checks.status == 200 && count_text(checks.body, "\\\"postgres\\\":\\\"down\\\"") == CHECKED_PROCESSES;
}

static bool none_checked_without_postgres(const void *arg)
{
  (void)arg;
  struct http_reply checks = consul_get("/v1/agent/checks");
  return checks.status == 200 && count_text(checks.body, "\\\"postgres\\\":\\\"down\\\"") == 0;
}

Test(fault_17_discovery, without_postgresql_no_instance_is_unlisted_and_each_answers_for_itself)
{
  struct account ada = account_create();
  const char *id = item_create(&ada, text("{\"sku\":\"%s\",\"name\":\"Thing\"}", fresh_word()));
  const char *path = text("/v1/items/%s", id);
  stack("stop", "postgres");
  wait_until(all_checked_without_postgres, NULL, "a health check of every instance without PostgreSQL");
  struct http_reply listed = consul_get("/v1/health/service/item?passing");
  cr_expect_eq(http_json_count(&listed, ""), 2, "%s", listed.body);
  // A service has refused this one, which knows that nothing has happened, and the gateway has not given up for want of
  // a service.
  struct http_reply reply = HTTP(.path = path, .token = ada.token);
  ASSERT_PROBLEM(reply, 503, "UNAVAILABLE");
  cr_expect_null(strstr(reply.body, "endpoint"), "%s", reply.body);
  stack("start", "postgres");
  wait_until(none_checked_without_postgres, NULL, "a health check of every instance with PostgreSQL");
  wait_until_healthy();
  ASSERT_STATUS(HTTP(.path = path, .token = ada.token), 200);
}
