// Which connections are found silent or lost, on a clock of the test's.
#include <criterion/criterion.h>

#include "common/rpc/liveness_internal.h"

#define MS UINT64_C(1000)
#define BEGIN_US (1000 * MS)

// Looks at a connection as its owner does until `until_us`, and returns when the verdict was `wanted` first; 0 when it
// never was. `received` counts what has come; nothing comes meanwhile.
static uint64_t look_until(struct liveness *liveness, enum liveness_verdict wanted, bool awaited, uint64_t until_us)
{
  uint64_t now_us;
  while ((now_us = liveness_next_look_us(liveness, awaited)) <= until_us)
    if (liveness_look(liveness, liveness->received, awaited, now_us) == wanted)
      return now_us;
  return 0;
}

Test(liveness, who_is_silent_while_an_answer_is_due_is_found_within_a_second)
{
  struct liveness liveness;
  liveness_begin(&liveness, false, BEGIN_US);
  // The worst case: the last bytes came right after a look.
  cr_assert_eq(liveness_look(&liveness, 10, true, BEGIN_US), LIVENESS_FINE);
  uint64_t asked_us = look_until(&liveness, LIVENESS_ASK, true, BEGIN_US + 10000 * MS);
  cr_assert_eq(asked_us - BEGIN_US, LIVENESS_BUSY_LOOK_MS * MS);
  uint64_t silent_us = look_until(&liveness, LIVENESS_SILENT, true, BEGIN_US + 10000 * MS);
  cr_assert_leq(silent_us - BEGIN_US, 1000 * MS);
  uint64_t lost_us = look_until(&liveness, LIVENESS_LOST, true, BEGIN_US + 10000 * MS);
  cr_assert_eq(lost_us - asked_us, LIVENESS_LOST_MS * MS);
}

Test(liveness, any_byte_is_an_answer)
{
  struct liveness liveness;
  liveness_begin(&liveness, false, BEGIN_US);
  cr_assert_neq(look_until(&liveness, LIVENESS_SILENT, true, BEGIN_US + 2000 * MS), 0);
  cr_assert_eq(liveness_look(&liveness, 1, true, liveness.looked_us + 250 * MS), LIVENESS_FINE);
  cr_assert_eq(liveness_look(&liveness, 2, true, liveness.looked_us + 250 * MS), LIVENESS_FINE);
  cr_assert_eq(liveness_look(&liveness, 2, true, liveness.looked_us + 250 * MS), LIVENESS_ASK, "asked once more");
}

Test(liveness, an_idle_connection_is_asked_now_and_then)
{
  struct liveness liveness;
  liveness_begin(&liveness, false, BEGIN_US);
  uint64_t asked_us = look_until(&liveness, LIVENESS_ASK, false, BEGIN_US + 60000 * MS);
  cr_assert_geq(asked_us - BEGIN_US, LIVENESS_IDLE_ASK_MS * MS);
  cr_assert_leq(asked_us - BEGIN_US, (LIVENESS_IDLE_ASK_MS + LIVENESS_IDLE_LOOK_MS) * MS);
  cr_assert_eq(liveness_look(&liveness, 5, false, asked_us + MS), LIVENESS_FINE);
  cr_assert_eq(look_until(&liveness, LIVENESS_ASK, false, asked_us + 9000 * MS), 0);
}

Test(liveness, a_connection_that_was_asked_for_its_first_packet_is_lost_without_one)
{
  struct liveness liveness;
  liveness_begin(&liveness, true, BEGIN_US);
  cr_assert_eq(look_until(&liveness, LIVENESS_ASK, false, BEGIN_US + 4000 * MS), 0);
  cr_assert_eq(look_until(&liveness, LIVENESS_LOST, false, BEGIN_US + 9000 * MS), BEGIN_US + LIVENESS_LOST_MS * MS);
}

// Our process is stopped for a minute: the answer that has come meanwhile is read after this look at the earliest.
Test(liveness, the_time_in_which_our_own_process_stood_still_does_not_count)
{
  struct liveness liveness;
  liveness_begin(&liveness, false, BEGIN_US);
  uint64_t asked_us = look_until(&liveness, LIVENESS_ASK, true, BEGIN_US + 1000 * MS);
  cr_assert_eq(liveness_look(&liveness, 0, true, asked_us + 60000 * MS), LIVENESS_SILENT);
  cr_assert_eq(liveness_look(&liveness, 0, true, asked_us + 60250 * MS), LIVENESS_SILENT);
  cr_assert_eq(liveness_look(&liveness, 7, true, asked_us + 60500 * MS), LIVENESS_FINE);
}
