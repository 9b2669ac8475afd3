// Which streams a drain ends: those that wait while nothing moves in them.
#include <criterion/criterion.h>

#include "common/service/stream_internal.h"

enum { IDLE_US = 1000 };

static struct completion waiting;

static struct stream make_stream(void)
{
  return (struct stream){.status = STATUS_OK};
}

Test(stream_idle, a_stream_that_waits_ends_after_its_time_and_whoever_waits_is_woken)
{
  struct stream stream = make_stream();
  stream.reader = &waiting;
  stream_end_if_idle(&stream, 5000, IDLE_US);
  stream_end_if_idle(&stream, 5999, IDLE_US);
  cr_assert_eq(stream_status(&stream), STATUS_OK);
  stream_end_if_idle(&stream, 6000, IDLE_US);
  cr_assert_eq(stream_status(&stream), STATUS_UNAVAILABLE);
  cr_assert(waiting.done);
  // A further look finds it ended, and wakes nobody again.
  stream_end_if_idle(&stream, 9000, IDLE_US);
}

Test(stream_idle, a_message_or_a_new_wait_begins_the_time_again)
{
  struct stream stream = make_stream();
  stream.writer = &waiting;
  for (uint64_t now_us = 5000; now_us < 100000; now_us += IDLE_US - 1) {
    stream_end_if_idle(&stream, now_us, IDLE_US);
    stream.moves++;
  }
  cr_assert_eq(stream_status(&stream), STATUS_OK);
}

Test(stream_idle, a_handler_that_works_on_what_it_has_read_is_left_alone)
{
  struct stream stream = make_stream();
  stream_end_if_idle(&stream, 5000, IDLE_US);
  stream_end_if_idle(&stream, 50000, IDLE_US);
  cr_assert_eq(stream_status(&stream), STATUS_OK);
}
