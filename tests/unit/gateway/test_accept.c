// Content negotiation.
#include <criterion/criterion.h>

#include "gateway/accept.h"

static const struct slice OFFERS[] = {SLICE_INIT("application/x-ndjson"), SLICE_INIT("text/event-stream"),
                                      SLICE_INIT("application/json")};
#define NONE 3

static void assert_chosen(const char *accept, size_t wanted)
{
  size_t chosen = accept_choose(slice_from_string(accept), OFFERS, 3);
  cr_expect_eq(chosen, wanted, "%s: %zu instead of %zu", accept, chosen, wanted);
}

Test(accept, without_a_header_the_first_offer_is_taken)
{
  cr_assert_eq(accept_choose((struct slice){0}, OFFERS, 3), 0);
}

Test(accept, ranges_choose_by_weight_then_exactness_then_order)
{
  assert_chosen("*/*", 0);
  assert_chosen("text/event-stream", 1);
  assert_chosen("TEXT/Event-Stream", 1);
  assert_chosen("text/*", 1);
  assert_chosen("application/*", 0);
  assert_chosen("application/json, text/plain, */*", 2);
  assert_chosen("application/json;q=0.5, */*;q=0.1", 2);
  assert_chosen("application/json;q=0.5, text/event-stream;q=0.75", 1);
  assert_chosen("*/*, application/x-ndjson;q=0", 1);
  assert_chosen("application/json;charset=utf-8", 2);
  assert_chosen("application/json ; q=1.000 ,text/event-stream;q=0.999", 2);
}

Test(accept, what_is_not_accepted_is_not_chosen)
{
  assert_chosen("", NONE);
  assert_chosen("text/html", NONE);
  assert_chosen("application", NONE);
  assert_chosen("*/json", NONE);
  assert_chosen("application/json;q=0", NONE);
  assert_chosen("*/*;q=0", NONE);
  assert_chosen("application/json;q=2", NONE);
  assert_chosen("application/json;q=0.1234", NONE);
  assert_chosen("application/json;q=x", NONE);
  assert_chosen("application/jsonx", NONE);
}
