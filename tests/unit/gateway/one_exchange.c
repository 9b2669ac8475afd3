#include "tests/unit/gateway/one_exchange.h"

#include <criterion/criterion.h>

struct fixture *fixture;
struct exchange *exchange;

void open_all(void)
{
  fixture = fixture_open();
  fixture_give_keys(fixture);
  exchange = fixture_exchange(fixture);
}

void close_all(void)
{
  exchange_close(&exchange);
  fixture_close(fixture);
}

const struct exchange_reply *start(struct exchange_input input)
{
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_DONE);
  return exchange_reply(exchange);
}

struct fixture_call *start_call(struct exchange_input input)
{
  if (input.authorization.size == 0)
    input.authorization = fixture_bearer(fixture, "user", 900);
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_WAITING);
  return fixture_call(fixture, 1);
}

void assert_problem(const struct exchange_reply *reply, int http_status, const char *part)
{
  bool is_problem = slice_equal(reply->content_type, SLICE("application/problem+json"));
  cr_assert(reply->http_status == http_status && is_problem && fixture_contains(reply->body, part),
            "wanted a problem %d with %s; it is %d: " SLICE_FMT, http_status, part, reply->http_status,
            SLICE_ARG(reply->body));
}

void assert_header(const struct exchange_reply *reply, const char *name, const char *value)
{
  struct slice found = fixture_header(reply, name);
  cr_assert(slice_equal_string(found, value), "%s: " SLICE_FMT " instead of %s", name, SLICE_ARG(found), value);
}
