// Floods of connections and bodies from few addresses: another client does not notice them.
#include <criterion/criterion.h>

#include "tests/fault/flood.h"
#include "tests/support/bystander.h"
#include "tests/support/http.h"

TestSuite(fault_10_floods, .timeout = 0);

// The head never ends.
static const struct flood_kind slow_headers = {.first = "GET /v1/items HTTP/1.1\r\nHost: localhost\r\n",
                                               .drip = "X-Slow: a\r\n"};

Test(fault_10_floods, connections_with_slow_headers_leave_others_alone)
{
  struct account ada = account_create();
  struct bystander *bystander = bystander_start(&ada);
  bystander_attacked(bystander);
  struct flood *flood = flood_start(&slow_headers, 4600, 1);
  flood_await_attempts(flood, 4600);
  bystander_await(bystander, 1500);
  (void)bystander_assert_unharmed(&bystander, "4,600 slow headers from one address");
  flood_stop(&flood);
}

Test(fault_10_floods, ten_thousand_idle_connections_leave_others_alone)
{
  static const struct flood_kind idle = {.first = NULL};
  struct account ada = account_create();
  struct bystander *bystander = bystander_start(&ada);
  bystander_attacked(bystander);
  struct flood *flood = flood_start(&idle, 10000, 4);
  flood_await_attempts(flood, 10000);
  bystander_await(bystander, 1500);
  (void)bystander_assert_unharmed(&bystander, "10,000 idle connections from four addresses");
  flood_stop(&flood);
}
