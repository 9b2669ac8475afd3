#include "common/observe/trace.h"

#include <criterion/criterion.h>

#define GOOD "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

Test(trace, what_is_read_is_written_again)
{
  struct trace_context trace;
  char text[TRACEPARENT_SIZE];
  cr_assert(trace_parse(SLICE(GOOD), &trace));
  cr_assert_eq(trace.trace_id[0], 0x0a);
  cr_assert_eq(trace.span_id[7], 0x31);
  trace_format(&trace, text);
  cr_assert_str_eq(text, GOOD);
}

Test(trace, only_the_sampled_flag_is_passed_on)
{
  struct trace_context trace;
  cr_assert(trace_parse(SLICE("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-fe"), &trace));
  cr_assert_eq(trace.flags, 0);
  cr_assert(trace_parse(SLICE("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03"), &trace));
  cr_assert_eq(trace.flags, 1);
}

Test(trace, later_versions_are_read_as_far_as_known)
{
  struct trace_context trace;
  cr_assert(trace_parse(SLICE("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), &trace));
  cr_assert(trace_parse(SLICE("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what"), &trace));
  cr_assert_not(trace_parse(SLICE("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.what"), &trace));
}

Test(trace, malformed_ones_are_refused)
{
  static const char *const bad[] = {
      "",
      "00",
      "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
      "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
      "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-extra",
      "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 ",
      " 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
      "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
      "0x-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
      "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
      "CC-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
      "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0A",
      "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0F",
      "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333F-01",
      "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333g-01",
      "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
      "00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01",
      "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331_01",
      "00-00000000000000000000000000000000-b7ad6b7169203331-01",
      "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
  };
  struct trace_context trace;
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
    cr_assert_not(trace_parse(slice_from_string(bad[i]), &trace), "%s", bad[i]);
}

Test(trace, a_child_keeps_the_trace_and_its_flag_with_a_new_span)
{
  struct trace_context parent, child;
  cr_assert(trace_parse(SLICE("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"), &parent));
  trace_child(&parent, &child);
  cr_assert_arr_eq(parent.trace_id, child.trace_id, sizeof parent.trace_id);
  cr_assert_arr_neq(parent.span_id, child.span_id, sizeof parent.span_id);
  cr_assert_eq(child.flags, 0);
}

Test(trace, a_new_one_is_sampled_well_formed_and_unlike_others)
{
  struct trace_context first, second, read;
  char text[TRACEPARENT_SIZE];
  trace_start(&first);
  trace_start(&second);
  cr_assert_arr_neq(first.trace_id, second.trace_id, sizeof first.trace_id);
  trace_format(&first, text);
  cr_assert(trace_parse(slice_from_string(text), &read));
  cr_assert_eq(read.flags, 1);
}

Test(trace, the_trace_id_is_found_in_the_text)
{
  cr_assert(slice_equal(trace_id_of(SLICE(GOOD)), SLICE("0af7651916cd43dd8448eb211c80319c")));
  cr_assert_eq(trace_id_of(SLICE("00-0af7")).size, 0);
}
