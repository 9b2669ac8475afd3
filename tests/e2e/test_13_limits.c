// Rate limits as clients see them, at gateways that have some.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "tests/support/gateway.h"
#include "tests/support/http.h"

static void set_limits(const char *read, const char *credential)
{
  setenv("RATE_READ", read, 1);
  setenv("RATE_WRITE", "1/s burst 2", 1);
  setenv("RATE_CREDENTIAL", credential, 1);
}

static struct http_reply read_items(const struct gateway_place *gateway, const char *token)
{
  return HTTP(.path = "/v1/users/me", .token = token, .base_url = gateway->plain_url);
}

static struct http_reply login(const struct gateway_place *gateway, const char *from, const char *email,
                               const char *password, const char *device_token)
{
  return HTTP(.path = "/v1/auth/login", .base_url = gateway->plain_url, .from = from,
              .body =
                  text("{\"email\":\"%s\",\"password\":\"%s\",\"deviceToken\":\"%s\"}", email, password, device_token));
}

// Fails to log in to an account that does not exist, another each time.
static struct http_reply guess(const struct gateway_place *gateway, const char *from)
{
  return login(gateway, from, fresh_email(), "a wrong password", "");
}

static void assert_limited(struct http_reply *reply, const char *class)
{
  ASSERT_PROBLEM(*reply, 429, "RESOURCE_EXHAUSTED");
  cr_assert_str_eq(http_json(reply, "reason"), "RATE_LIMITED");
  const char *retry_after = http_header(reply, "Retry-After");
  cr_assert_not_null(retry_after);
  cr_assert_str_neq(retry_after, "0");
  const char *limit = http_header(reply, "RateLimit");
  cr_assert_not_null(limit);
  cr_assert_str_eq(limit, text("\"%s\";r=0;t=%s", class, retry_after));
}

// Reads until `refused` is the answer, and returns how many passed.
static int read_until_refused(const struct gateway_place *gateway, const char *token, struct http_reply *refused)
{
  for (int passed = 0; passed < 1000; passed++) {
    *refused = read_items(gateway, token);
    if (refused->status == 429)
      return passed;
    ASSERT_STATUS(*refused, 200);
  }
  cr_assert_fail("nothing was refused");
  return 0;
}

Test(limits, every_answer_tells_of_the_limit_and_whoever_exceeds_it_gets_429)
{
  set_limits("1/s burst 5", "off");
  struct gateway_place gateway = gateway_start("gateway-31");
  struct account ada = account_create();
  struct account bob = account_create();
  struct http_reply first = read_items(&gateway, ada.token);
  ASSERT_STATUS(first, 200);
  cr_expect_str_eq(http_header(&first, "RateLimit-Policy"), "\"read\";q=5;w=5");
  cr_expect_str_eq(http_header(&first, "RateLimit"), "\"read\";r=4;t=1");
  struct http_reply refused;
  cr_expect_geq(read_until_refused(&gateway, ada.token, &refused), 4);
  assert_limited(&refused, "read");
  // Another user and another class have limits of their own, and logins have none here.
  struct http_reply others = read_items(&gateway, bob.token);
  ASSERT_STATUS(others, 200);
  struct http_reply written = HTTP(.path = text("/v1/users/%s", ada.id), .method = "PATCH", .token = ada.token,
                                   .body = "{\"displayName\":\"Ada L.\"}", .base_url = gateway.plain_url);
  ASSERT_STATUS(written, 200);
  cr_expect_str_eq(http_header(&written, "RateLimit-Policy"), "\"write\";q=2;w=2");
  struct http_reply in = login(&gateway, NULL, ada.email, ada.password, "");
  ASSERT_STATUS(in, 200);
  cr_expect_null(http_header(&in, "RateLimit"));
  gateway_stop(&gateway);
}

Test(limits, anonymous_callers_count_by_address)
{
  set_limits("1/s burst 3", "off");
  struct gateway_place gateway = gateway_start("gateway-32");
  int passed = 0;
  struct http_reply reply;
  const char *from = fresh_address();
  while ((reply = HTTP(.path = "/.well-known/jwks.json", .base_url = gateway.plain_url, .from = from)).status == 200)
    cr_assert_lt(passed++, 100);
  assert_limited(&reply, "read");
  reply = HTTP(.path = "/.well-known/jwks.json", .base_url = gateway.plain_url, .from = fresh_address());
  ASSERT_STATUS(reply, 200);
  gateway_stop(&gateway);
}

// How often a worker has limited by itself, for a second, because its share did not come in time.
static int count_lone_seconds(const struct gateway_place *gateway)
{
  static const char name[] = "\nbulkhead_rate_leases_total{result=\"failed\"} ";
  struct http_reply metrics = HTTP(.path = "/metrics", .base_url = gateway->admin_url);
  ASSERT_STATUS(metrics, 200);
  const char *found = strstr(metrics.body, name);
  cr_assert_not_null(found);
  return (int)strtol(found + strlen(name), NULL, 10);
}

// Four workers of two gateways, and one limit: what passes beyond it is a lease of each worker at most. On a machine so
// busy that shares do not come in time, a worker lets through what the limit allows in a second, too.
Test(limits, gateways_share_one_limit)
{
  set_limits("20/s burst 40", "off");
  struct gateway_place gateways[] = {gateway_start("gateway-33"), gateway_start("gateway-34")};
  struct account ada = account_create();
  uint64_t start_us = clock_now_us();
  int passed = 0, refused = 0;
  while (clock_now_us() < start_us + 4000000)
    for (int i = 0; i < 2; i++)
      *(read_items(&gateways[i], ada.token).status == 200 ? &passed : &refused) += 1;
  double seconds = (double)(clock_now_us() - start_us) / 1e6;
  int lease = 2, lone = count_lone_seconds(&gateways[0]) + count_lone_seconds(&gateways[1]);
  double most = 40 + 20 * seconds + 4 * lease + lone * (40 + 20);
  fprintf(stderr, "%d requests passed in %.2f s, of %.0f that the limit allows\n", passed, seconds, most);
  cr_expect_leq(passed, (int)most + 1);
  // A busy machine may make fewer requests than the limit lets through.
  cr_expect(refused < 20 || passed >= (int)(40 + 20 * seconds * 0.6), "%d of %d passed", passed, passed + refused);
  for (int i = 0; i < 2; i++)
    gateway_stop(&gateways[i]);
}

Test(limits, failed_logins_of_an_address_are_counted_exactly_by_all_gateways)
{
  set_limits("off", "6/h burst 10");
  struct gateway_place gateways[] = {gateway_start("gateway-35"), gateway_start("gateway-36")};
  const char *from = fresh_address();
  int tried = 0;
  for (int i = 0; i < 30; i++) {
    struct http_reply reply = guess(&gateways[i % 2], from);
    if (reply.status == 429)
      assert_limited(&reply, "credential");
    else
      ASSERT_STATUS(reply, 401);
    tried += reply.status == 401;
  }
  cr_expect_eq(tried, 10);
  struct http_reply other = guess(&gateways[0], fresh_address());
  ASSERT_STATUS(other, 401);
  cr_expect_str_eq(http_header(&other, "RateLimit"), "\"credential\";r=9;t=600");
  for (int i = 0; i < 2; i++)
    gateway_stop(&gateways[i]);
}

Test(limits, right_logins_are_free_and_a_known_device_is_not_held_up_by_its_address)
{
  set_limits("off", "6/h burst 3");
  struct gateway_place gateway = gateway_start("gateway-37");
  const char *email = fresh_email();
  struct http_reply created = account_sign_up(email, "correct horse battery");
  ASSERT_STATUS(created, 201);
  const char *from = fresh_address();
  struct http_reply in;
  for (int i = 0; i < 12; i++) {
    in = login(&gateway, from, email, "correct horse battery", "");
    ASSERT_STATUS(in, 200);
  }
  const char *device = http_json(&in, "deviceToken");
  cr_assert_not_null(device);
  while (guess(&gateway, from).status != 429)
    ;
  in = login(&gateway, from, email, "correct horse battery", "");
  assert_limited(&in, "credential");
  in = login(&gateway, from, email, "correct horse battery", device);
  ASSERT_STATUS(in, 200);
  cr_expect_not_null(http_json(&in, "deviceToken"));
  gateway_stop(&gateway);
}

// Whoever goes on at an account that refuses further guesses is stopped at the gateway.
Test(limits, guesses_that_the_account_refuses_count_as_failures)
{
  set_limits("off", "6/h burst 40");
  struct gateway_place gateway = gateway_start("gateway-40");
  struct account ada = account_create();
  const char *from = fresh_address();
  int tried = 0, refused_by_account = 0, refused_by_gateway = 0;
  for (int i = 0; i < 60; i++) {
    struct http_reply reply = login(&gateway, from, ada.email, "a wrong password", "");
    const char *reason = http_json(&reply, "reason");
    tried += reply.status == 401;
    refused_by_account += strcmp(reason, "TOO_MANY_FAILURES") == 0;
    refused_by_gateway += strcmp(reason, "RATE_LIMITED") == 0;
  }
  cr_expect_eq(tried, 25, "%d were tried", tried);
  cr_expect_eq(refused_by_account, 15, "%d were refused by the account's limit", refused_by_account);
  cr_expect_eq(refused_by_gateway, 20, "%d were refused by the gateway", refused_by_gateway);
  gateway_stop(&gateway);
}

// Whoever asks which addresses are taken is slowed down, too.
Test(limits, sign_ups_with_a_taken_address_count_as_failures)
{
  set_limits("off", "6/h burst 3");
  struct gateway_place gateway = gateway_start("gateway-38");
  struct account ada = account_create();
  const char *from = fresh_address();
  struct http_reply reply;
  for (int i = 0; i < 4; i++) {
    reply = HTTP(.path = "/v1/users", .base_url = gateway.plain_url, .from = from,
                 .body = text("{\"email\":\"%s\",\"password\":\"correct horse battery\",\"displayName\":\"Eve\"}",
                              ada.email));
    if (i < 3)
      ASSERT_STATUS(reply, 409);
  }
  assert_limited(&reply, "credential");
  gateway_stop(&gateway);
}

// A refresh is a write: it can be repeated more often than a login may fail.
Test(limits, a_refresh_is_a_write)
{
  set_limits("off", "6/h burst 1");
  struct gateway_place gateway = gateway_start("gateway-39");
  struct account ada = account_create();
  struct http_reply reply = HTTP(.path = "/v1/auth/refresh", .base_url = gateway.plain_url, .from = fresh_address(),
                                 .body = text("{\"refreshToken\":\"%s\"}", ada.refresh_token));
  ASSERT_STATUS(reply, 200);
  cr_expect_str_eq(http_header(&reply, "RateLimit-Policy"), "\"write\";q=2;w=2");
  cr_expect_null(http_json(&reply, "deviceToken"));
  gateway_stop(&gateway);
}
