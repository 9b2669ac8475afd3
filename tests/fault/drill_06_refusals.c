// Instances that refuse everything: a request that could be tried elsewhere is not tried without end.
#include <criterion/criterion.h>
#include <stdlib.h>

#include "tests/fault/drill.h"
#include "tests/support/environment.h"
#include "tests/support/stack.h"

// The programs of the stack, beside which are those that the Makefile links for tests.
static const char *own_programs(void)
{
  return text("%s/..", need_variable("BULKHEAD_BIN"));
}

static void start_instances_from(const char *out)
{
  stack("stop", "item-1");
  stack("stop", "item-2");
  cr_assert_eq(setenv("OUT", out, 1), 0);
  stack("start", "item-1");
  stack("start", "item-2");
  wait_until_healthy();
}

static double count_sent(void)
{
  return metric_sum("gateway", "bulkhead_rpc_client_calls_total{method=\"item.");
}

static double count_served(void)
{
  const char *series = "bulkhead_rpc_server_calls_total{";
  return metric_sum("item-1", series) + metric_sum("item-2", series);
}

// In the first ten seconds a fifth of what was sent before may be tried again, too, so a short form says nothing.
Test(drill_06_refusals, all_replies_fail)
{
  if (!drill_is_long())
    cr_skip_test("the budget of retries counts ten seconds");
  struct drill *drill = drill_start("all replies fail");
  drill_break(drill);
  start_instances_from(text("%s/refusing", own_programs()));
  double sent = count_sent(), served = count_served();
  drill_endure(drill, 30);
  sent = count_sent() - sent, served = count_served() - served;
  drill_mend(drill);
  start_instances_from(own_programs());
  drill_note(drill, text("%.0f tried, %.2f each", served, served / sent));
  drill_end(&drill, &(struct drill_goal){
                        .text = "<= 1.2 requests upstream per request",
                        .may_fail = DRILL_READS | DRILL_WRITES,
                    });
  cr_expect_leq(served, 1.25 * sent, "%.0f requests were tried %.0f times", sent, served);
}
