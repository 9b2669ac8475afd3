// Exchanges under rate limits: what counts for the address, and what the reply tells.
#include <criterion/criterion.h>

#include "tests/unit/gateway/one_exchange.h"

static void open_limited(void)
{
  open_all();
  struct limits_options options = {.backend = &fixture->gateway->backend,
                                   .metrics = &fixture->api->metrics,
                                   .now_us = fixture->gateway->clock.now_us};
  cr_assert(gcra_parse(SLICE("2/m"), &options.limits[LIMIT_READ]));
  fixture->gateway->limits = limits_create(&options);
}

TestSuite(exchange_limits, .init = open_limited, .fini = close_all);

static struct exchange_input read_item(struct slice authorization)
{
  struct exchange_input input = fixture_input("GET", "/v1/items/" FIXTURE_ITEM_ID);
  input.authorization = authorization;
  input.client_address = SLICE("192.0.2.7");
  return input;
}

// Lets the auth service be away, so that the worker limits by itself.
static void lose_auth(void)
{
  const struct rpc_status away = {.code = STATUS_UNAVAILABLE};
  fixture_answer_status(fixture_call(fixture, 1), &away);
}

static enum exchange_next start_next(struct slice authorization)
{
  exchange_close(&exchange);
  exchange = fixture_exchange(fixture);
  const struct exchange_input input = read_item(authorization);
  return exchange_start(exchange, &input);
}

Test(exchange_limits, bad_tokens_count_for_their_address)
{
  struct slice foreign = fixture_foreign_bearer(fixture);
  struct slice good = fixture_bearer(fixture, "user", 900);
  assert_problem(start(read_item(SLICE("Bearer not.a.token"))), 401, "INVALID_TOKEN");
  lose_auth();
  (void)start_next(SLICE("Bearer not.a.token"));
  assert_problem(exchange_reply(exchange), 401, "INVALID_TOKEN");
  (void)start_next(foreign);
  assert_problem(exchange_reply(exchange), 429, LIMITS_REASON);
  cr_assert_not_null(fixture_header(exchange_reply(exchange), "Retry-After").data);
  assert_header(exchange_reply(exchange), "RateLimit-Policy", "\"read\";q=2;w=60");
  // Not even a good token is verified for that address now.
  (void)start_next(good);
  assert_problem(exchange_reply(exchange), 429, LIMITS_REASON);
}

Test(exchange_limits, a_token_that_is_known_counts_for_its_user_alone)
{
  struct slice good = fixture_bearer(fixture, "user", 900);
  const struct exchange_input input = read_item(good);
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_WAITING);
  lose_auth();
  cr_assert_eq(start_next(good), EXCHANGE_WAITING);
  (void)start_next(SLICE("Bearer not.a.token"));
  (void)start_next(SLICE("Bearer not.a.token"));
  assert_problem(exchange_reply(exchange), 429, LIMITS_REASON);
  // The address has nothing left, and the user has spent two.
  (void)start_next(good);
  assert_problem(exchange_reply(exchange), 429, LIMITS_REASON);
  fixture_now_us += UINT64_C(60) * 1000000;
  cr_assert_eq(start_next(good), EXCHANGE_WAITING);
}
