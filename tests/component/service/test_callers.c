// How a service learns who calls: what it needs to start, and what calls with tokens get until it knows the keys.
#include <criterion/criterion.h>
#include <poll.h>
#include <stdio.h>

#include "auth/v1/auth.pb-c.h"
#include "common/base/arena.h"
#include "common/base/clock.h"
#include "common/rpc/rpc_server.h"
#include "common/security/key.h"
#include "common/security/token.h"
#include "grpc/health/v1/health.pb-c.h"
#include "item/v1/item.pb-c.h"
#include "tests/component/service/probe.h"
#include "tests/component/service/probe_process.h"
#include "tests/component/service/stream_client.h"
#include "tests/support/common/service_keys.h"

#define GET_ITEM "item.v1.ItemService/GetItem"

static const struct rpc_context someone = {.request_id = SLICE_INIT("r-1"), .caller_id = SLICE_INIT("caller-1")};

static struct process probe;
static struct arena arena;

static void expect_no_start(const char *const *environment, const char *reason)
{
  probe_start(&probe, NULL, environment);
  cr_expect_eq(process_end(&probe), 2);
  EXPECT_OUTPUT(probe, reason);
  process_free(&probe);
}

Test(callers, a_service_that_cannot_prove_its_name_does_not_start)
{
  expect_no_start((const char *const[]){"SERVICE_KEY", NULL}, "`deploy/keys FOLDER` makes FOLDER/service_probe.pem");
  expect_no_start((const char *const[]){"SERVICE_KEYS", NULL}, "SERVICE_KEY is set and SERVICE_KEYS is not");
  expect_no_start((const char *const[]){"SERVICE_KEYS={\"keys\":[]}", NULL}, "SERVICE_KEYS: the set holds no key");
  expect_no_start((const char *const[]){"TOKEN_KEYS=/nowhere", NULL}, "TOKEN_KEYS: /nowhere: No such file");
}

// ---- the issuer of tokens ----

static struct rpc_server *issuer;
static struct service_identity *issuer_identity;
static int key_requests;

static const char *later_key;  // in PEM, of the id "auth-2"
static bool has_later_key;     // the issuer publishes it

// Describes a public key. The texts are in the arena.
static Auth__V1__JsonWebKey describe_key(const char *kid, const char *pem)
{
  struct slice x, y, thumbprint;
  cr_assert_eq(key_public_parts(pem, &arena, &x, &y, &thumbprint), STATUS_OK);
  Auth__V1__JsonWebKey key = AUTH__V1__JSON_WEB_KEY__INIT;
  key.kty = "EC";
  key.crv = "P-256";
  key.kid = arena_string(&arena, slice_from_string(kid));
  key.x = arena_string(&arena, x);
  key.y = arena_string(&arena, y);
  return key;
}

static void answer_keys(void *arg, struct rpc_request *request)
{
  (void)arg;
  Auth__V1__JsonWebKey first = describe_key("auth", service_keys_private());
  Auth__V1__JsonWebKey later = has_later_key ? describe_key("auth-2", later_key) : first;
  Auth__V1__JsonWebKey *keys[] = {&first, &later};
  Auth__V1__JsonWebKeySet set = AUTH__V1__JSON_WEB_KEY_SET__INIT;
  set.n_keys = has_later_key ? 2 : 1;
  set.keys = keys;
  uint8_t bytes[1024];
  cr_assert_leq(auth__v1__json_web_key_set__get_packed_size(&set), sizeof(bytes));
  key_requests++;
  rpc_request_reply(request, NULL, slice_make(bytes, auth__v1__json_web_key_set__pack(&set, bytes)));
}

// Listens as auth, and starts the probe, which asks it for keys. Nothing is answered until the issuer is turned.
static void start_with_issuer(void)
{
  struct error error;
  issuer_identity = service_keys_identity("auth");
  const struct rpc_server_options options = {
      .listen_url = "tcp://127.0.0.1:0", .identity = issuer_identity, .on_request = answer_keys};
  cr_assert_eq(rpc_server_create(&options, &issuer, &error), STATUS_OK, "%s", error.message);
  const char *url = arena_printf(&arena, "tcp://127.0.0.1:%d", rpc_server_port(issuer));
  service_identity_set_address(issuer_identity, url);
  const char *peers = arena_printf(&arena, "RPC_STATIC=auth=%s", url);
  probe_start(&probe, NULL, (const char *const[]){"TOKEN_KEYS", peers, NULL});
  process_wait_admin(&probe);
  process_wait_output(&probe, "\"message\":\"ready\"");
}

static void turn_issuer(void)
{
  poll(&(struct pollfd){.fd = rpc_server_fd(issuer), .events = POLLIN}, 1, 5);
  rpc_server_process(issuer, clock_now_us());
  rpc_server_flush(issuer);
}

static void stop_all(struct driver *gateway)
{
  driver_close(gateway);
  cr_expect_eq(process_stop(&probe), 0);
  process_free(&probe);
  rpc_server_free(&issuer);
  service_identity_free(&issuer_identity);
  arena_free(&arena);
}

static struct outcome get_item(struct driver *driver)
{
  Item__V1__GetItemRequest request = ITEM__V1__GET_ITEM_REQUEST__INIT;
  request.id = "01936b5e-0000-7d3e-9f00-1c2d3e4f5a6b";
  return driver_call(driver, GET_ITEM, &request.base, &someone);
}

static void expect_health(struct stream_client *watch, size_t count, unsigned status)
{
  const Grpc__Health__V1__HealthCheckResponse *response =
      (void *)stream_client_await(watch, count, &grpc__health__v1__health_check_response__descriptor);
  cr_expect_eq(response->status, status, "message %zu: %u", count, (unsigned)response->status);
}

Test(callers, calls_with_tokens_wait_for_the_keys_and_say_that_nothing_has_happened)
{
  struct driver gateway;
  struct stream_client watch;
  Grpc__Health__V1__HealthCheckRequest process = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
  start_with_issuer();
  process_wait_http(&probe, "/readyz", "\"tokenKeys\":\"down\"");
  driver_open(&gateway, probe.url, "gateway");
  stream_client_open(&watch, &gateway, "grpc.health.v1.Health/Watch", &process.base);
  expect_health(&watch, 1, GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING);
  struct outcome outcome = get_item(&gateway);
  cr_expect_eq(outcome.status, STATUS_UNAVAILABLE);
  cr_expect(slice_equal_string(outcome.reason, RPC_NOT_APPLIED));

  uint64_t end_us = patience_end_us();
  while (key_requests == 0) {
    cr_assert_lt(clock_now_us(), end_us, "nobody has asked for the keys");
    turn_issuer();
  }
  process_wait_ready(&probe);
  expect_health(&watch, 2, GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING);
  outcome = get_item(&gateway);
  cr_expect_eq(outcome.status, STATUS_OK, SLICE_FMT, SLICE_ARG(outcome.message));
  stop_all(&gateway);
}

// ---- keys that come later ----

static const struct slice user_role = SLICE_INIT("user");

static struct slice sign_token(const char *kid, const char *pem)
{
  int64_t now = clock_wall_us() / 1000000;
  const struct token_claims claims = {.subject = SLICE("caller-1"),
                                      .roles = &user_role,
                                      .role_count = 1,
                                      .id = SLICE("later"),
                                      .issued_at = now,
                                      .expires_at = now + 900};
  const struct token_signing_key key = {.kid = kid, .private_pem = pem};
  struct slice token;
  cr_assert_eq(token_sign(&key, "bulkhead", "bulkhead", &claims, &arena, &token), STATUS_OK);
  return token;
}

// Calls with a token while the issuer answers, or while it is silent.
static enum status call_with(struct driver *driver, struct slice token, bool issuer_answers)
{
  Item__V1__GetItemRequest request = ITEM__V1__GET_ITEM_REQUEST__INIT;
  request.id = "01936b5e-0000-7d3e-9f00-1c2d3e4f5a6b";
  const struct rpc_context context = {.request_id = SLICE("r-2"), .access_token = token};
  struct outcome outcome;
  driver_begin(driver, GET_ITEM, driver_pack(driver, &request.base), &context, 10000, &outcome);
  while (issuer_answers && !outcome.done) {
    turn_issuer();
    rpc_client_process(driver->client, clock_now_us());
    rpc_client_flush(driver->client);
  }
  driver_finish(driver, &outcome);
  cr_expect(outcome.status != STATUS_UNAVAILABLE || slice_equal_string(outcome.reason, RPC_NOT_APPLIED));
  return outcome.status;
}

// Calls until the service knows the key. Until then it must not take the token for a forged one.
static void call_until_known(struct driver *driver, struct slice token)
{
  enum status status;
  uint64_t end_us = patience_end_us();
  while ((status = call_with(driver, token, true)) != STATUS_OK) {
    cr_assert_eq(status, STATUS_UNAVAILABLE, "%s", status_name(status));
    cr_assert_lt(clock_now_us(), end_us, "the key is not fetched");
    poll(NULL, 0, 20);
  }
}

Test(callers, a_token_of_a_later_key_is_no_forged_one_while_the_issuer_is_away)
{
  struct driver gateway;
  const char *stranger;
  start_with_issuer();
  cr_assert_eq(key_generate(&arena, &later_key), STATUS_OK);
  cr_assert_eq(key_generate(&arena, &stranger), STATUS_OK);
  struct slice known = sign_token("auth", service_keys_private());
  struct slice later = sign_token("auth-2", later_key);
  uint64_t end_us = patience_end_us();
  while (key_requests == 0) {
    cr_assert_lt(clock_now_us(), end_us, "nobody has asked for the keys");
    turn_issuer();
  }
  process_wait_ready(&probe);
  driver_open(&gateway, probe.url, "gateway");
  cr_expect_eq(call_with(&gateway, later, false), STATUS_UNAVAILABLE);
  cr_expect_eq(call_with(&gateway, later, false), STATUS_UNAVAILABLE, "also after the fetch has failed");
  cr_expect_eq(call_with(&gateway, known, false), STATUS_OK);

  has_later_key = true;
  int requests = key_requests;
  call_until_known(&gateway, later);
  cr_expect_gt(key_requests, requests);
  cr_expect_eq(call_with(&gateway, known, true), STATUS_OK);
  cr_expect_eq(call_with(&gateway, sign_token("auth-3", stranger), true), STATUS_UNAUTHENTICATED);
  cr_expect_eq(call_with(&gateway, sign_token("auth-2", stranger), true), STATUS_UNAUTHENTICATED);
  stop_all(&gateway);
}

// ---- the login behind a token ----

static struct outcome call_as_of(struct driver *driver, const char *method, const ProtobufCMessage *request,
                                 int64_t auth_time)
{
  int64_t now = clock_wall_us() / 1000000;
  const struct token_claims claims = {.subject = SLICE("caller-1"),
                                      .roles = &user_role,
                                      .role_count = 1,
                                      .id = SLICE("token-1"),
                                      .issued_at = now,
                                      .expires_at = now + 900,
                                      .session = SLICE("session-1"),
                                      .auth_time = auth_time};
  const struct token_signing_key key = {.kid = "auth", .private_pem = service_keys_private()};
  struct slice token;
  cr_assert_eq(token_sign(&key, "bulkhead", "bulkhead", &claims, &arena, &token), STATUS_OK);
  return driver_call(driver, method, request, &(struct rpc_context){.access_token = token});
}

Test(callers, a_handler_learns_the_session_and_when_its_user_logged_in)
{
  struct driver gateway;
  probe_start(&probe, NULL, (const char *const[]){NULL});
  process_wait_ready(&probe);
  driver_open(&gateway, probe.url, "gateway");
  Item__V1__GetItemRequest request = ITEM__V1__GET_ITEM_REQUEST__INIT;
  request.id = "01936b5e-0000-7d3e-9f00-1c2d3e4f5a6b";
  struct outcome outcome = call_as_of(&gateway, GET_ITEM, &request.base, 1700000000);
  cr_assert_eq(outcome.status, STATUS_OK, SLICE_FMT, SLICE_ARG(outcome.message));
  const Item__V1__Item *item = (const void *)driver_reply(&outcome, &item__v1__item__descriptor);
  cr_expect_str_eq(item->tags[item->n_tags - 1], "session=session-1 at 1700000000");
  driver_close(&gateway);
  cr_expect_eq(process_stop(&probe), 0);
  process_free(&probe);
  arena_free(&arena);
}

Test(callers, a_method_may_ask_for_a_recent_login)
{
  struct driver gateway;
  probe_start(&probe, NULL, (const char *const[]){NULL});
  process_wait_ready(&probe);
  driver_open(&gateway, probe.url, "gateway");
  Item__V1__UpdateItemRequest request = ITEM__V1__UPDATE_ITEM_REQUEST__INIT;
  int64_t now = clock_wall_us() / 1000000;
  // Half the age, so that a slow machine does not make it too old.
  struct outcome outcome = call_as_of(&gateway, PROBE_RECENT_LOGIN, &request.base, now - PROBE_MAX_AUTH_AGE_S / 2);
  cr_expect_neq(outcome.status, STATUS_UNAUTHENTICATED, SLICE_FMT, SLICE_ARG(outcome.message));
  // The service takes a login a minute longer than the gateway.
  outcome = call_as_of(&gateway, PROBE_RECENT_LOGIN, &request.base, now - PROBE_MAX_AUTH_AGE_S - 61);
  cr_expect_eq(outcome.status, STATUS_UNAUTHENTICATED);
  cr_expect(slice_equal_string(outcome.reason, "LOGIN_TOO_OLD"), SLICE_FMT, SLICE_ARG(outcome.reason));
  outcome = call_as_of(&gateway, PROBE_RECENT_LOGIN, &request.base, 0);
  cr_expect(slice_equal_string(outcome.reason, "LOGIN_TOO_OLD"), "the token of an older release");
  driver_close(&gateway);
  cr_expect_eq(process_stop(&probe), 0);
  process_free(&probe);
  arena_free(&arena);
}
