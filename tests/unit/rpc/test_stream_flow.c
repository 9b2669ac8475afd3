// The credit of a stream, without any connection.
#include <criterion/criterion.h>

#include "common/rpc/stream_flow_internal.h"

Test(stream_flow, a_message_may_be_larger_than_the_credit_that_is_left)
{
  struct stream_flow flow = stream_flow_make(10, 0);
  cr_assert(stream_flow_may_send(&flow));
  stream_flow_count_sent(&flow, 5000);
  cr_assert(!stream_flow_may_send(&flow));
  cr_assert(!stream_flow_add_credit(&flow, 5000), "what was sent beyond the credit is still owed");
  cr_assert(stream_flow_add_credit(&flow, 5000));
  cr_assert(!stream_flow_add_credit(&flow, 1), "it may send already");
}

Test(stream_flow, empty_messages_use_credit_up)
{
  struct stream_flow flow = stream_flow_make(STREAM_CREDIT_BYTES, 0);
  size_t sent = 0;
  for (; stream_flow_may_send(&flow); sent++)
    stream_flow_count_sent(&flow, 0);
  cr_assert_eq(sent, STREAM_CREDIT_BYTES / STREAM_MESSAGE_COST);
}

Test(stream_flow, what_a_reader_keeps_is_bounded)
{
  struct stream_flow flow = stream_flow_make(0, 0);
  size_t kept = 0;
  while (stream_flow_count_received(&flow, 1000))
    kept += 1000;
  cr_assert_leq(kept, STREAM_CREDIT_BYTES);
  uint32_t given = 0;
  for (size_t taken = 0; taken < kept; taken += 1000)
    given += stream_flow_take(&flow, 1, 1000);
  cr_assert_gt(given, STREAM_CREDIT_BYTES / 4);
  cr_assert(stream_flow_count_received(&flow, 1000));
}

Test(stream_flow, a_reader_that_takes_all_at_once_gives_more_credit_up_to_a_bound)
{
  struct stream_flow flow = stream_flow_make(0, 0);
  int64_t most = 0;
  size_t given = 0;
  for (size_t i = 0; i < 100000; i++) {
    cr_assert(stream_flow_count_received(&flow, 1000));
    given += stream_flow_take(&flow, 1, 1000);
    most = flow.may_receive > most ? flow.may_receive : most;
  }
  cr_assert_gt(given, 99000 * (1000 + STREAM_MESSAGE_COST));
  cr_assert_gt(most, STREAM_MAX_CREDIT_BYTES / 2);
  cr_assert_leq(most, STREAM_MAX_CREDIT_BYTES);
}

Test(stream_flow, a_reader_with_unread_messages_gives_no_more_credit_than_in_the_beginning)
{
  struct stream_flow flow = stream_flow_make(0, 0);
  size_t given = 0;
  cr_assert(stream_flow_count_received(&flow, 1000));
  for (size_t i = 0; i < 10000; i++) {
    cr_assert(stream_flow_count_received(&flow, 1000));
    given += stream_flow_take(&flow, 1, 1000);
    cr_assert_leq(flow.may_receive, STREAM_CREDIT_BYTES);
  }
  cr_assert_leq(given, 10000 * (1000 + STREAM_MESSAGE_COST));
}

Test(stream_flow, nothing_may_come_after_the_end)
{
  struct stream_flow flow = stream_flow_make(0, 0);
  flow.receives_no_more = true;
  cr_assert(!stream_flow_count_received(&flow, 0));
  cr_assert_eq(stream_flow_take(&flow, 1, STREAM_CREDIT_BYTES), 0, "credit would be of no use");
}
