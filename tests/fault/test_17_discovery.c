// What instances are found by while PostgreSQL or Consul is away, forgets or freezes.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/compiler.h"
#include "tests/support/http.h"
#include "tests/support/open_loop.h"
#include "tests/support/stack.h"

enum {
  CHECKED_PROCESSES = 4,
  REQUESTS_BETWEEN = 800,  // a second of them
};

static void heal(void)
{
  thaw_postgres();
  stack("start", "consul");
  stack_signal("consul", SIGCONT);
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

// ---- Consul ----

static bool both_registered(const void *arg)
{
  (void)arg;
  struct http_reply reply = consul_get("/v1/health/service/item?passing");
  return reply.status == 200 && http_json_count(&reply, "") == 2;
}

static void wipe_consul(void)
{
  stack("kill", "consul");
  (void)output_of((const char *const[]){"rm", "-rf", text("%s/consul", getenv("BULKHEAD_RUN_DIR")), NULL});
}

Test(fault_17_discovery, a_consul_that_comes_back_without_its_memory_loses_no_request)
{
  struct account ada = account_create();
  struct open_loop *loop = open_loop_start(&ada, NULL);
  for (int round = 0; round < 2; round++) {
    open_loop_await(loop, REQUESTS_BETWEEN);
    wipe_consul();
    open_loop_await(loop, REQUESTS_BETWEEN);
    stack("start", "consul");
    wait_until(both_registered, NULL, "the registration of both item services");
  }
  open_loop_await(loop, REQUESTS_BETWEEN);
  (void)open_loop_assert_unharmed(&loop, "Consul is wiped");
  wait_until_healthy();
}

static void deregister(const char *service)
{
  struct http_reply listed = consul_get(text("/v1/health/service/%s", service));
  cr_assert_eq(listed.status, 200);
  for (int i = 0, count = http_json_count(&listed, ""); i < count; i++) {
    const char *id = http_json(&listed, text("[%d].Service.ID", i));
    struct http_reply reply = HTTP(.method = "PUT", .path = text("/v1/agent/service/deregister/%s", id),
                                   .base_url = getenv("BULKHEAD_CONSUL_URL"), .timeout_ms = 5000, .body = "",
                                   .headers = {text("X-Consul-Token: %s", secret_of_stack("consul_management"))});
    cr_assert_eq(reply.status, 200, "%d: %s", reply.status, reply.body);
  }
}

Test(fault_17_discovery, a_consul_that_is_emptied_while_it_runs_loses_no_request)
{
  struct account ada = account_create();
  struct open_loop *loop = open_loop_start(&ada, NULL);
  open_loop_await(loop, REQUESTS_BETWEEN);
  deregister("auth");
  deregister("user");
  deregister("item");
  wait_until(both_registered, NULL, "the registration of both item services");
  open_loop_await(loop, REQUESTS_BETWEEN);
  (void)open_loop_assert_unharmed(&loop, "Consul is emptied");
  wait_until_healthy();
}

// Returns the connections of the gateway's workers to instances of a service.
static bool is_connected_to_both(const void *arg)
{
  (void)arg;
  struct http_reply ready = HTTP(.path = "/readyz", .base_url = getenv("BULKHEAD_ADMIN_URL"));
  return ready.status == 200 && strcmp(http_json(&ready, "services.item"), "2") == 0;
}

Test(fault_17_discovery, without_consul_instances_are_restarted_in_turn_and_lose_no_request)
{
  struct account ada = account_create();
  struct open_loop *loop = open_loop_start(&ada, NULL);
  open_loop_await(loop, REQUESTS_BETWEEN);
  wipe_consul();
  static const char *const instances[] = {"item-1", "item-2"};
  for (size_t i = 0; i < ARRAY_LEN(instances); i++) {
    stack("restart", instances[i]);
    wait_until(is_connected_to_both, NULL, text("the gateway's connection to %s after its restart", instances[i]));
    open_loop_await(loop, REQUESTS_BETWEEN);
  }
  stack("start", "consul");
  wait_until(both_registered, NULL, "the registration of both item services");
  open_loop_await(loop, REQUESTS_BETWEEN);
  (void)open_loop_assert_unharmed(&loop, "Consul is away while instances are restarted");
  wait_until_healthy();
}

static bool works_again(const void *arg)
{
  return HTTP(.path = arg, .base_url = NULL, .token = NULL).status == 401;
}

// Each process starts with the places that it saved when Consul was there.
Test(fault_17_discovery, everything_starts_without_consul_and_finds_each_other)
{
  struct account ada = account_create();
  const char *path = text("/v1/items/%s", item_create(&ada, text("{\"sku\":\"%s\",\"name\":\"A\"}", fresh_word())));
  wipe_consul();
  static const char *const processes[] = {"auth-1", "user-1", "item-1", "item-2", "gateway"};
  for (size_t i = 0; i < ARRAY_LEN(processes); i++)
    stack("kill", processes[i]);
  for (size_t i = 0; i < ARRAY_LEN(processes); i++)
    stack("start", processes[i]);
  wait_until(works_again, path, "an answer of the gateway");
  ASSERT_STATUS(HTTP(.path = path, .token = ada.token), 200);
  struct account bob = account_create();
  ASSERT_STATUS(HTTP(.path = "/v1/users/me", .token = bob.token), 200);
  stack("start", "consul");
  wait_until_healthy();
}

Test(fault_17_discovery, a_frozen_consul_holds_up_neither_requests_nor_starts)
{
  struct account ada = account_create();
  struct open_loop *loop = open_loop_start(&ada, NULL);
  stack_signal("consul", SIGSTOP);
  stack("reload", "gateway");
  open_loop_await(loop, REQUESTS_BETWEEN);
  stack("restart", "item-1");
  wait_until(is_connected_to_both, NULL, "the gateway's connection to item-1 after its restart");
  open_loop_await(loop, REQUESTS_BETWEEN);
  stack_signal("consul", SIGCONT);
  wait_until_healthy();
  open_loop_await(loop, REQUESTS_BETWEEN);
  (void)open_loop_assert_unharmed(&loop, "Consul is frozen while the gateway is reloaded and an instance restarted");
}
