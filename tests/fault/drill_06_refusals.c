// Instances that refuse everything: a request that could be tried elsewhere is not tried without end.
#include <criterion/criterion.h>

#include "tests/fault/drill.h"
#include "tests/support/stack.h"

static double count_sent(void)
{
  return metric_sum("gateway", "bulkhead_rpc_client_calls_total{method=\"item.");
}

static double count_served(void)
{
  const char *series = "bulkhead_rpc_server_calls_total{";
  return metric_sum("item-1", series) + metric_sum("item-2", series);
}

enum { SECONDS = 30 };

Test(drill_06_refusals, all_replies_fail)
{
  if (!drill_is_long())
    cr_skip_test("the budget of retries counts ten seconds");
  struct drill *drill = drill_start("all replies fail");
  drill_break(drill);
  stack_restart_items_from(text("%s/refusing", stack_programs()));
  double sent = count_sent(), served = count_served();
  drill_endure(drill, SECONDS);
  sent = count_sent() - sent, served = count_served() - served;
  drill_mend(drill);
  stack_restart_items_from(stack_programs());
  drill_note(drill, text("%.0f requests tried %.0f times, %.3f each", sent, served, served / sent));
  if (served > 1.2 * sent)
    drill_miss(drill, "more upstream");
  drill_end(&drill, &(struct drill_goal){
                        .text = "<= 1.2 requests upstream per request",
                        .may_fail = DRILL_READS | DRILL_WRITES,
                    });
  // Half a percent may be in flight between both looks at it.
  cr_expect_leq(served, 1.205 * sent, "%.0f requests were tried %.0f times", sent, served);
}
