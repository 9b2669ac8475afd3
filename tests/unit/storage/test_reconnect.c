// The back-off between attempts to connect, and how failures are logged.
#include <criterion/criterion.h>

#include "common/storage/reconnect_internal.h"

static void stop_loop(void *arg)
{
  loop_stop(arg);
}

Test(reconnect, a_success_forgets_the_failures)
{
  struct loop *loop = loop_create();
  struct reconnect reconnect;
  reconnect_init(&reconnect, loop, 1000, stop_loop, loop);
  for (int outage = 0; outage < 2; outage++) {
    for (int attempt = 0; attempt < 10; attempt++) {
      reconnect_begin_attempt(&reconnect);
      cr_expect_eq(reconnect_count_failure(&reconnect), attempt == 0 ? LOG_WARN : LOG_DEBUG, "%d", attempt);
      reconnect_back_off(&reconnect);
      cr_expect_leq(reconnect.backoff_ms, 1000);
    }
    cr_expect_eq(reconnect.failures, 10);
    cr_expect_eq(reconnect.backoff_ms, 1000, "it has grown to its limit");
    reconnect_succeed(&reconnect);
    cr_expect_eq(reconnect.failures, 0);
    reconnect_back_off(&reconnect);
    cr_expect_eq(reconnect.backoff_ms, 50, "the first pause is short again");
    reconnect_succeed(&reconnect);
  }
  reconnect_clear(&reconnect);
  reconnect_clear(&reconnect);
  loop_free(&loop);
}

Test(reconnect, the_timer_ends_a_back_off)
{
  struct loop *loop = loop_create();
  struct reconnect reconnect;
  reconnect_init(&reconnect, loop, 1000, stop_loop, loop);
  reconnect_back_off(&reconnect);
  loop_run(loop);
  cr_expect_not(reconnect_extend_attempt(&reconnect) && reconnect_extend_attempt(&reconnect), "once in an attempt");
  reconnect_clear(&reconnect);
  loop_free(&loop);
}
