// Requests with an API key: the exchange for an access token, what is kept of it, and who asks how often.
#include <criterion/criterion.h>
#include <string.h>

#include "common/base/wire.h"
#include "tests/unit/gateway/one_exchange.h"

#define KEY "bhk_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg2imMLQ"
#define OTHER_KEY "bhk_00000000000000000000000000000000000000000001HwiEd"
#define KEY_ID "01936b5e-7c1a-7d3e-9f00-0000000000c1"
#define EXCHANGE_METHOD "auth.v1.ApiKeyService/ExchangeApiKey"
#define GET_ITEM "item.v1.ItemService/GetItem"
#define OTHERS 20

static const struct rpc_status unknown = {
    .code = STATUS_NOT_FOUND, .reason = SLICE_INIT(API_KEYS_UNKNOWN_REASON), .message = SLICE_INIT("unknown")};
static const struct rpc_status away = {.code = STATUS_UNAVAILABLE, .message = SLICE_INIT("no endpoint")};

static void open_keys(void)
{
  open_all();
  fixture_session = SLICE(KEY_ID);
  fixture_generation = 1;
}

TestSuite(api_keys, .init = open_keys, .fini = close_all);

static struct exchange_input with_key(const char *key)
{
  struct exchange_input input = fixture_input("GET", ITEM_PATH);
  input.authorization = slice_from_string(arena_printf(&fixture->arena, "Bearer %s", key));
  input.client_address = SLICE("192.0.2.7");
  return input;
}

// What auth answers: a token that is good for `lifetime_s`.
static struct slice token_reply(int64_t lifetime_s)
{
  struct strbuf wire;
  strbuf_init(&wire, 0);
  wire_write_bytes(&wire, 1, slice_skip(fixture_bearer(fixture, "user", lifetime_s), strlen("Bearer ")));
  struct slice copy = arena_copy(&fixture->arena, strbuf_slice(&wire));
  strbuf_free(&wire);
  return copy;
}

static enum exchange_next start_next(const char *key)
{
  exchange_close(&exchange);
  exchange = fixture_exchange(fixture);
  const struct exchange_input input = with_key(key);
  return exchange_start(exchange, &input);
}

static struct fixture_call *last_call(const char *method)
{
  struct fixture_call *call = fixture_call(fixture, fixture->call_count - 1);
  cr_assert_str_eq(call->method, method);
  return call;
}

// Brings a request with the key as far as its call of the service.
static void make_known(int64_t lifetime_s)
{
  cr_assert_eq(start_next(KEY), EXCHANGE_WAITING);
  fixture_answer(last_call(EXCHANGE_METHOD), token_reply(lifetime_s));
  (void)last_call(GET_ITEM);
}

// Brings the next request with the known key as far, without another exchange.
static void assert_known(void)
{
  size_t calls = fixture->call_count;
  cr_assert_eq(start_next(KEY), EXCHANGE_WAITING);
  cr_assert_eq(fixture->call_count, calls + 1);
  (void)last_call(GET_ITEM);
}

static void assert_refused_without_call(const char *key, const char *part)
{
  size_t calls = fixture->call_count;
  cr_assert_eq(start_next(key), EXCHANGE_DONE);
  assert_problem(exchange_reply(exchange), 401, part);
  cr_assert_eq(fixture->call_count, calls);
}

Test(api_keys, the_service_gets_the_token_that_stands_for_the_key)
{
  cr_assert_eq(start_next(KEY), EXCHANGE_WAITING);
  struct fixture_call *asked = last_call(EXCHANGE_METHOD);
  cr_assert(fixture_contains(asked->payload, KEY));
  fixture_answer(asked, token_reply(900));
  struct fixture_call *call = last_call(GET_ITEM);
  cr_assert(slice_equal(slice_make(call->access_token.data, 2), SLICE("ey")));
  fixture_answer(call, fixture_item(fixture, "Lamp", "1"));
  cr_assert_eq(exchange_reply(exchange)->http_status, 200);
  struct exchange_facts facts = exchange_facts(exchange);
  cr_assert(slice_equal_string(facts.caller_id, FIXTURE_USER_ID));
  cr_assert(slice_equal_string(facts.rate_class, "key"));
}

Test(api_keys, a_known_key_is_exchanged_no_more)
{
  make_known(900);
  for (int i = 0; i < OTHERS; i++)
    assert_known();
}

Test(api_keys, requests_that_come_together_share_one_exchange)
{
  struct exchange *others[OTHERS];
  cr_assert_eq(start_next(KEY), EXCHANGE_WAITING);
  size_t calls = fixture->call_count;
  for (size_t i = 0; i < OTHERS; i++) {
    others[i] = fixture_exchange(fixture);
    const struct exchange_input input = with_key(KEY);
    cr_assert_eq(exchange_start(others[i], &input), EXCHANGE_WAITING);
  }
  cr_assert_eq(fixture->call_count, calls);
  // One whose client has gone leaves the exchange to the others, though it has asked first.
  exchange_abandon(exchange);
  exchange_close(&others[0]);
  fixture_answer(last_call(EXCHANGE_METHOD), token_reply(900));
  cr_assert_eq(fixture->call_count, calls + OTHERS - 1);
  for (size_t i = 1; i < OTHERS; i++)
    exchange_close(&others[i]);
}

Test(api_keys, a_wrong_checksum_costs_no_call)
{
  assert_refused_without_call("bhk_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg2imMLR", "INVALID_API_KEY");
  assert_refused_without_call("bhk_short", "checksum");
  cr_assert(fixture_contains(fixture_header(exchange_reply(exchange), "WWW-Authenticate"), "error=\"invalid_token\""));
}

Test(api_keys, an_unknown_key_is_asked_about_again_after_some_seconds)
{
  cr_assert_eq(start_next(KEY), EXCHANGE_WAITING);
  fixture_answer_status(last_call(EXCHANGE_METHOD), &unknown);
  assert_problem(exchange_reply(exchange), 401, "INVALID_API_KEY");
  assert_refused_without_call(KEY, "INVALID_API_KEY");
  fixture_now_us += API_KEY_CACHE_REFUSED_US;
  cr_assert_eq(start_next(KEY), EXCHANGE_WAITING);
  fixture_answer(last_call(EXCHANGE_METHOD), token_reply(900));
  (void)last_call(GET_ITEM);
}

Test(api_keys, while_auth_is_away_unknown_keys_get_503)
{
  cr_assert_eq(start_next(KEY), EXCHANGE_WAITING);
  fixture_answer_status(last_call(EXCHANGE_METHOD), &away);
  assert_problem(exchange_reply(exchange), 503, "\"reason\":\"NOT_APPLIED\"");
  assert_header(exchange_reply(exchange), "Retry-After", "1");
  // The next request asks again.
  make_known(900);
}

Test(api_keys, a_reply_that_is_none_is_no_answer)
{
  cr_assert_eq(start_next(KEY), EXCHANGE_WAITING);
  fixture_answer(last_call(EXCHANGE_METHOD), (struct slice){0});
  assert_problem(exchange_reply(exchange), 503, "NOT_APPLIED");
  static const struct rpc_status no_such_method = {.code = STATUS_UNIMPLEMENTED, .message = SLICE_INIT("no method")};
  cr_assert_eq(start_next(KEY), EXCHANGE_WAITING);
  fixture_answer_status(last_call(EXCHANGE_METHOD), &no_such_method);
  assert_problem(exchange_reply(exchange), 503, "NOT_APPLIED");
}

// No request waits for the renewal, and its failure changes nothing until the token expires.
Test(api_keys, known_keys_go_on_while_auth_is_away)
{
  make_known(900);
  fixture_now_us += API_KEYS_RENEW_US;
  fixture_wall_us += (int64_t)API_KEYS_RENEW_US;
  size_t calls = fixture->call_count;
  cr_assert_eq(start_next(KEY), EXCHANGE_WAITING);
  cr_assert_eq(fixture->call_count, calls + 2);
  (void)last_call(GET_ITEM);
  struct fixture_call *renewal = fixture_call(fixture, calls);
  cr_assert_str_eq(renewal->method, EXCHANGE_METHOD);
  assert_known();
  fixture_answer_status(renewal, &away);
  assert_known();
  fixture_wall_us += INT64_C(900) * 1000000;
  cr_assert_eq(start_next(KEY), EXCHANGE_WAITING);
  fixture_answer_status(last_call(EXCHANGE_METHOD), &away);
  assert_problem(exchange_reply(exchange), 503, "NOT_APPLIED");
}

// auth says of the key of a suspended account when to ask again.
Test(api_keys, a_key_that_may_be_good_again_soon_is_asked_about_soon)
{
  struct rpc_status suspended = unknown;
  suspended.retry_after_ms = 500;
  cr_assert_eq(start_next(KEY), EXCHANGE_WAITING);
  fixture_answer_status(last_call(EXCHANGE_METHOD), &suspended);
  assert_problem(exchange_reply(exchange), 401, "INVALID_API_KEY");
  fixture_now_us += 499999;
  assert_refused_without_call(KEY, "INVALID_API_KEY");
  fixture_now_us += 1;
  cr_assert_eq(start_next(KEY), EXCHANGE_WAITING);
  fixture_answer(last_call(EXCHANGE_METHOD), token_reply(900));
  (void)last_call(GET_ITEM);
}

Test(api_keys, a_renewal_brings_the_next_token_or_the_end)
{
  make_known(900);
  fixture_now_us += API_KEYS_RENEW_US;
  cr_assert_eq(start_next(KEY), EXCHANGE_WAITING);
  fixture_answer(fixture_call(fixture, fixture->call_count - 2), token_reply(900));
  assert_known();
  fixture_now_us += API_KEYS_RENEW_US;
  cr_assert_eq(start_next(KEY), EXCHANGE_WAITING);
  fixture_answer_status(fixture_call(fixture, fixture->call_count - 2), &unknown);
  assert_refused_without_call(KEY, "INVALID_API_KEY");
}

static void end_session(void)
{
  int64_t now = fixture_wall_us / 1000000;
  token_verifier_end_session(fixture->gateway->verifier, SLICE(FIXTURE_USER_ID), SLICE(KEY_ID), now + 900, now);
}

Test(api_keys, a_revoked_key_is_refused_at_once)
{
  make_known(900);
  end_session();
  cr_assert_eq(start_next(KEY), EXCHANGE_WAITING);
  fixture_answer_status(last_call(EXCHANGE_METHOD), &unknown);
  assert_problem(exchange_reply(exchange), 401, "INVALID_API_KEY");
  assert_refused_without_call(KEY, "INVALID_API_KEY");
}

// auth has signed before the end, and its answer comes after it.
Test(api_keys, a_key_that_is_revoked_meanwhile_is_refused)
{
  cr_assert_eq(start_next(KEY), EXCHANGE_WAITING);
  end_session();
  fixture_answer(last_call(EXCHANGE_METHOD), token_reply(900));
  assert_problem(exchange_reply(exchange), 401, "INVALID_API_KEY");
}

// A change of roles ends the account's tokens, and not its keys.
Test(api_keys, a_token_of_an_earlier_generation_is_exchanged_for_another)
{
  make_known(900);
  int64_t now = fixture_wall_us / 1000000;
  token_verifier_end_user(fixture->gateway->verifier, SLICE(FIXTURE_USER_ID), 2, now + 900, now);
  fixture_generation = 2;
  make_known(900);
  assert_known();
}

// Whether the key is still good cannot be said then.
Test(api_keys, while_auth_is_away_a_token_that_has_ended_gets_503)
{
  make_known(900);
  int64_t now = fixture_wall_us / 1000000;
  token_verifier_end_user(fixture->gateway->verifier, SLICE(FIXTURE_USER_ID), 2, now + 900, now);
  cr_assert_eq(start_next(KEY), EXCHANGE_WAITING);
  fixture_answer_status(last_call(EXCHANGE_METHOD), &away);
  assert_problem(exchange_reply(exchange), 503, "NOT_APPLIED");
}

// The token is signed by the database's clock. The request is not refused, because the key may be good.
Test(api_keys, a_clock_that_is_an_hour_off_is_no_fault_of_the_key)
{
  static const int64_t hours[] = {-1, 1};
  for (size_t i = 0; i < ARRAY_LEN(hours); i++) {
    int64_t off_us = hours[i] * INT64_C(3600) * 1000000;
    cr_assert_eq(start_next(KEY), EXCHANGE_WAITING);
    struct slice signed_now = token_reply(900);
    fixture_wall_us += off_us;
    fixture_answer(last_call(EXCHANGE_METHOD), signed_now);
    assert_problem(exchange_reply(exchange), 503, "NOT_APPLIED");
    cr_expect(fixture->gateway->api_keys.clock.failing);
    fixture_wall_us -= off_us;
    assert_known();
    cr_expect_not(fixture->gateway->api_keys.clock.failing);
    fixture_wall_us += INT64_C(1000) * 1000000;
  }
}

// The token of a key that expires says so, and is taken no second longer.
Test(api_keys, an_expired_key_has_no_leeway)
{
  make_known(5);
  fixture_wall_us += INT64_C(5) * 1000000;
  cr_assert_eq(start_next(KEY), EXCHANGE_WAITING);
  fixture_answer_status(last_call(EXCHANGE_METHOD), &unknown);
  assert_problem(exchange_reply(exchange), 401, "INVALID_API_KEY");
}

Test(api_keys, a_key_proves_no_recent_login)
{
  make_known(900);
  exchange_close(&exchange);
  exchange = fixture_exchange(fixture);
  struct exchange_input input = with_key(KEY);
  input.method = SLICE("POST");
  input.path = SLICE("/v1/apiKeys");
  assert_problem(start(input), 401, "LOGIN_TOO_OLD");
}

Test(api_keys, exchanges_at_a_time_are_bounded)
{
  fixture->gateway->api_keys.call_count = API_KEYS_MAX_CALLS;
  size_t calls = fixture->call_count;
  cr_assert_eq(start_next(KEY), EXCHANGE_DONE);
  assert_problem(exchange_reply(exchange), 503, "NOT_APPLIED");
  cr_assert_eq(fixture->call_count, calls);
  fixture->gateway->api_keys.call_count = 0;
}

Test(api_keys, what_is_under_way_is_cancelled_when_the_gateway_stops)
{
  cr_assert_eq(start_next(KEY), EXCHANGE_WAITING);
  gateway_stop(fixture->gateway);
  cr_assert(last_call(EXCHANGE_METHOD)->cancelled);
}

// ---- limits ----

static void set_limits(const char *read, const char *key)
{
  struct limits_options options = {.backend = &fixture->gateway->backend,
                                   .metrics = &fixture->api->metrics,
                                   .now_us = fixture->gateway->clock.now_us};
  cr_assert(gcra_parse(slice_from_string(read), &options.limits[LIMIT_READ]));
  cr_assert(gcra_parse(slice_from_string(key), &options.limits[LIMIT_KEY]));
  fixture->gateway->limits = limits_create(&options);
}

// Lets the shared limits be away, so that the worker limits by itself.
static void lose_limits(size_t call)
{
  cr_assert_str_eq(fixture_call(fixture, call)->method, "auth.v1.RateLimitService/TakeShare");
  fixture_answer_status(fixture_call(fixture, call), &away);
}

Test(api_keys, guesses_count_for_their_address_as_wrong_tokens_do)
{
  set_limits("2/m", "off");
  cr_assert_eq(start_next("bhk_short"), EXCHANGE_DONE);
  assert_problem(exchange_reply(exchange), 401, "INVALID_API_KEY");
  lose_limits(1);
  cr_assert_eq(start_next(KEY), EXCHANGE_WAITING);
  fixture_answer_status(last_call(EXCHANGE_METHOD), &unknown);
  assert_problem(exchange_reply(exchange), 401, "INVALID_API_KEY");
  // The third guess is neither asked about nor judged.
  size_t calls = fixture->call_count;
  cr_assert_eq(start_next(OTHER_KEY), EXCHANGE_DONE);
  assert_problem(exchange_reply(exchange), 429, LIMITS_REASON);
  cr_assert_eq(fixture->call_count, calls);
}

Test(api_keys, a_known_key_has_a_limit_of_its_own)
{
  make_known(900);
  set_limits("off", "2/m");
  size_t calls = fixture->call_count;
  cr_assert_eq(start_next(KEY), EXCHANGE_WAITING);
  lose_limits(calls);
  cr_assert_eq(start_next(KEY), EXCHANGE_WAITING);
  cr_assert_eq(start_next(KEY), EXCHANGE_DONE);
  assert_problem(exchange_reply(exchange), 429, LIMITS_REASON);
  assert_header(exchange_reply(exchange), "RateLimit-Policy", "\"key\";q=2;w=60");
  // The account itself counts elsewhere.
  struct exchange_input input = fixture_input("GET", ITEM_PATH);
  input.authorization = fixture_bearer(fixture, "user", 900);
  exchange_close(&exchange);
  exchange = fixture_exchange(fixture);
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_WAITING);
}
