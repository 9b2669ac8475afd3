// What instances are found by while PostgreSQL or Consul is away, forgets or freezes.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fault/drill.h"
#include "tests/support/http.h"
#include "tests/support/stack.h"

enum { CHECKED_PROCESSES = 4 };

static const struct drill_goal unharmed = {.text = "0 failed"};

static void heal(void)
{
  thaw_postgres();
  stack("start", "consul");
  stack_signal("consul", SIGCONT);
}

TestSuite(fault_17_discovery, .fini = heal);
TestSuite(drill_02_consul, .fini = heal);

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

Test(drill_02_consul, consul_loses_its_memory)
{
  struct drill *drill = drill_start("Consul killed, and back without its memory, twice");
  drill_break(drill);
  for (int round = 0; round < 2; round++) {
    wipe_consul();
    drill_endure(drill, 10);
    stack("start", "consul");
    drill_mend(drill);
    wait_until(both_registered, NULL, "the registration of both item services");
  }
  drill_end(&drill, &unharmed);
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

Test(drill_02_consul, consul_is_emptied_while_it_runs)
{
  struct drill *drill = drill_start("Consul emptied while it runs");
  drill_break(drill);
  deregister("auth");
  deregister("user");
  deregister("item");
  wait_until(both_registered, NULL, "the registration of both item services");
  drill_endure(drill, 5);
  drill_end(&drill, &unharmed);
}

// Tells whether the gateway is connected to both instances.
static bool is_connected_to_both(const void *arg)
{
  (void)arg;
  struct http_reply ready = HTTP(.path = "/readyz", .base_url = getenv("BULKHEAD_ADMIN_URL"));
  return ready.status == 200 && strcmp(http_json(&ready, "services.item"), "2") == 0;
}

// Restarts so many instances, each once the gateway is connected to the other.
static void restart_instances(const struct drill *drill, size_t count)
{
  static const char *const instances[] = {"item-1", "item-2"};
  for (size_t i = 0; i < count; i++) {
    stack("restart", instances[i]);
    wait_until(is_connected_to_both, NULL, text("the gateway's connection to %s after its restart", instances[i]));
    drill_endure(drill, 5);
  }
}

Test(drill_02_consul, consul_is_away_while_instances_are_restarted)
{
  struct drill *drill = drill_start("Consul away (60 s), both item services restarted meanwhile");
  drill_break(drill);
  wipe_consul();
  drill_endure(drill, 25);
  restart_instances(drill, 2);
  drill_endure(drill, 25);
  stack("start", "consul");
  drill_mend(drill);
  wait_until(both_registered, NULL, "the registration of both item services");
  drill_endure(drill, 10);
  drill_end(&drill, &unharmed);
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

Test(drill_02_consul, consul_is_frozen_while_others_start)
{
  struct drill *drill = drill_start("Consul frozen, the gateway reloaded and item services restarted meanwhile");
  drill_break(drill);
  stack_signal("consul", SIGSTOP);
  stack("reload", "gateway");
  drill_endure(drill, 20);
  restart_instances(drill, drill_is_long() ? 2 : 1);
  stack_signal("consul", SIGCONT);
  drill_mend(drill);
  drill_end(&drill, &unharmed);
}
