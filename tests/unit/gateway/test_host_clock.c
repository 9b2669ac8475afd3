// A gateway whose clock is an hour off that of the auth service's database, by which tokens are signed.
#include <criterion/criterion.h>

#include "tests/unit/gateway/one_exchange.h"

TestSuite(host_clock, .init = open_all, .fini = close_all);

Test(host_clock, refuses_access_tokens_and_calls_nobody)
{
  static const char *const reasons[] = {"INVALID_TOKEN", "TOKEN_EXPIRED"};
  for (int i = 0; i < 2; i++) {
    struct exchange_input input = fixture_input("GET", ITEM_PATH);
    input.authorization = fixture_bearer(fixture, NULL, 900);
    fixture_wall_us += (i == 0 ? -1 : 1) * INT64_C(3600) * 1000000;
    assert_problem(start(input), 401, reasons[i]);
    fixture_wall_us -= (i == 0 ? -1 : 1) * INT64_C(3600) * 1000000;
    exchange_close(&exchange);
    exchange = fixture_exchange(fixture);
  }
  cr_assert_eq(fixture->call_count, 1, "the keys were fetched");
}
