// What the gateway lets in while calls of a method are in flight.
#include <criterion/criterion.h>

#include "common/base/wire.h"
#include "gateway/admission.h"
#include "gateway/pacing.h"
#include "tests/support/common/read_metric.h"
#include "tests/unit/gateway/one_exchange.h"

TestSuite(admission, .init = open_all, .fini = close_all);

#define LIST_METHOD "item.v1.ItemService/ListItems"

static struct exchange *lists[ADMISSION_MOST + 1];
static size_t list_count;

// Starts a request in an exchange of its own. Returns whether it waits for a service.
static bool begin(struct exchange **made, const char *method, const char *path)
{
  static struct slice token;
  if (token.size == 0)
    token = fixture_bearer(fixture, "user", 900);
  struct exchange_input input = fixture_input(method, path);
  input.authorization = token;
  *made = fixture_exchange(fixture);
  return exchange_start(*made, &input) == EXCHANGE_WAITING;
}

// Asks for lists until one is refused, which is the last in `lists`.
static void fill(void)
{
  while (begin(&lists[list_count++], "GET", "/v1/items"))
    cr_assert_lt(list_count, ARRAY_LEN(lists));
}

static void close_lists(void)
{
  while (list_count > 0)
    exchange_close(&lists[--list_count]);
}

static int64_t count_shed(const char *reason)
{
  struct slice values[] = {SLICE(LIST_METHOD), slice_from_string(reason)};
  return read_metric(METRIC_SHED, values, ARRAY_LEN(values));
}

Test(admission, what_is_beyond_the_limit_is_refused_before_a_service_is_asked)
{
  fill();
  cr_assert_gt(list_count, ADMISSION_MOST * 8 / 10);
  const struct exchange_reply *reply = exchange_reply(lists[list_count - 1]);
  assert_problem(reply, 429, "\"reason\":\"OVERLOADED\"");
  assert_header(reply, "Retry-After", "1");
  cr_assert_eq(fixture->call_count, list_count);  // the first call fetched the keys
  cr_assert_eq(count_shed("crowded"), 1);
  close_lists();
}

#define BATCH_PATH "/v1/items:batchCreate"

// Starts a create with a body, which is sent where the exchange asks for it.
static enum exchange_next begin_create(struct exchange **made)
{
  struct exchange_input input = fixture_input("POST", BATCH_PATH);
  input.authorization = fixture_bearer(fixture, "user", 900);
  input.content_type = SLICE("application/json");
  input.has_body = true;
  input.body_bytes = 1000;
  *made = fixture_exchange(fixture);
  return exchange_start(*made, &input);
}

Test(admission, a_body_is_not_read_for_a_refusal)
{
  static struct exchange *creates[ADMISSION_MOST + 1];
  size_t count = 0;
  struct exchange *next;
  while (begin_create(&creates[count]) == EXCHANGE_WANT_BODY) {
    cr_assert_lt(count + 1, ARRAY_LEN(creates));
    cr_assert_eq(exchange_body(creates[count++], SLICE("{\"items\":[{\"sku\":\"a\",\"name\":\"b\"}]}")),
                 EXCHANGE_WAITING);
  }
  assert_problem(exchange_reply(creates[count]), 429, "\"reason\":\"OVERLOADED\"");
  exchange_close(&creates[0]);
  cr_assert_eq(begin_create(&next), EXCHANGE_WANT_BODY);
  exchange_close(&next);
  for (size_t i = 1; i <= count; i++)
    exchange_close(&creates[i]);
}

Test(admission, a_refusal_tells_of_a_crowd_for_a_second)
{
  cr_assert_not(gateway_is_crowded(fixture->gateway));
  fill();
  cr_assert(gateway_is_crowded(fixture->gateway));
  close_lists();
  fixture_now_us += 999999;
  cr_assert(gateway_is_crowded(fixture->gateway));
  fixture_now_us += 1;
  cr_assert_not(gateway_is_crowded(fixture->gateway));
}

Test(admission, other_methods_and_cached_ones_are_not_in_the_crowd)
{
  fill();
  struct exchange *get, *remove;
  cr_assert(begin(&get, "GET", ITEM_PATH));
  cr_assert(begin(&remove, "DELETE", ITEM_PATH));
  exchange_close(&get);
  exchange_close(&remove);
  close_lists();
}

Test(admission, reads_that_are_not_expensive_have_no_limit)
{
  struct exchange *gets[ADMISSION_MOST + 64];
  for (size_t i = 0; i < ARRAY_LEN(gets); i++)
    cr_assert(begin(&gets[i], "GET", i % 2 == 0 ? ITEM_PATH : "/v1/users/me"));
  for (size_t i = 0; i < ARRAY_LEN(gets); i++)
    exchange_close(&gets[i]);
}

// To compress a list takes longer than all else that the gateway does for it.
Test(admission, an_answer_makes_room_when_it_is_sent_and_so_does_a_client_that_leaves)
{
  fill();
  struct exchange *next;
  fixture_answer(fixture_call(fixture, 1), (struct slice){0});
  cr_assert_not(begin(&next, "GET", "/v1/items"));
  exchange_close(&next);
  exchange_note_sent(lists[0]);
  cr_assert(begin(&next, "GET", "/v1/items"));
  exchange_close(&next);
  exchange_close(&lists[1]);
  cr_assert(begin(&next, "GET", "/v1/items"));
  exchange_close(&next);
  close_lists();
  cr_assert_eq(read_metric(METRIC_CALLS_ADMITTED, &SLICE(LIST_METHOD), 1), 0);
}

// Answers a call with a list of one item that has a name of so many bytes.
static void answer_with_name(struct fixture_call *call, size_t bytes)
{
  static char name[PACING_LARGE_BYTES];
  cr_assert_leq(bytes, sizeof(name));
  memset(name, 'a', bytes);
  struct strbuf wire;
  strbuf_init(&wire, 0);
  size_t mark = wire_begin_nested(&wire, 1);
  wire_write_bytes(&wire, 5, slice_make(name, bytes));
  wire_end_nested(&wire, mark);
  fixture_answer(call, strbuf_slice(&wire));
  strbuf_free(&wire);
  cr_assert_eq(fixture->progress, EXCHANGE_WRITING);
}

// What is left of a very large answer gives way to all others, so they need not be refused for it.
Test(admission, a_very_large_answer_makes_room_when_its_writing_begins)
{
  while (list_count < 3)
    cr_assert(begin(&lists[list_count++], "GET", "/v1/items"));
  answer_with_name(fixture_call(fixture, 1), PACING_LARGE_BYTES / 2);
  cr_assert_eq(read_metric(METRIC_CALLS_ADMITTED, &SLICE(LIST_METHOD), 1), 3, "half as much is only large");
  answer_with_name(fixture_call(fixture, 2), PACING_LARGE_BYTES);
  cr_assert_eq(read_metric(METRIC_CALLS_ADMITTED, &SLICE(LIST_METHOD), 1), 2);
  close_lists();
  cr_assert_eq(read_metric(METRIC_CALLS_ADMITTED, &SLICE(LIST_METHOD), 1), 0);
}

Test(admission, calls_that_take_longer_and_longer_lower_the_limit)
{
  fill();
  for (size_t i = 1; i < list_count; i++) {
    fixture_now_us += 5000;
    fixture_answer(fixture_call(fixture, i), (struct slice){0});
    exchange_note_sent(lists[i - 1]);
  }
  close_lists();
  cr_assert_lt(read_metric(METRIC_CALL_LIMIT, &SLICE(LIST_METHOD), 1), ADMISSION_MOST / 4);
}

// ---- by cost ----

enum { SMALL = 1, LARGE = 2 };

// Begins calls of a caller until one is refused, ends all, and returns how many they were. Each has so many bytes.
static size_t count_let_in(uint64_t caller, size_t bytes)
{
  static struct admission_place places[ADMISSION_MOST * 16];
  struct admission *admission = fixture->gateway->admission;
  const struct admission_request request = {
      .method = contract_method_by_name(fixture->gateway->api->contract, SLICE(LIST_METHOD)),
      .caller = caller,
      .left_us = UINT64_MAX};
  size_t count = 0;
  while (admission_take(admission, &request, &places[count], fixture_now_us) == CONCURRENCY_ADMITTED)
    cr_assert_lt(++count, ARRAY_LEN(places));
  cr_assert_eq(read_metric(METRIC_CALLS_ADMITTED, &SLICE(LIST_METHOD), 1), (int64_t)count);
  for (size_t i = 0; i < count; i++) {
    admission_note_bytes(admission, &places[i], bytes);
    admission_return(admission, &places[i], true, fixture_now_us);
  }
  return count;
}

Test(admission, one_with_large_answers_has_fewer_in_flight_than_one_with_small_ones)
{
  size_t unknown = count_let_in(LARGE, 1000000);
  cr_assert_geq(unknown, ADMISSION_MOST * 8 / 10);
  for (int i = 0; i < 10; i++)
    (void)count_let_in(SMALL, 1000);
  size_t small = count_let_in(SMALL, 1000), large = count_let_in(LARGE, 1000000);
  cr_assert_gt(small, 8 * large, "%zu and %zu", small, large);
  cr_assert_geq(large, 8);
}

// ---- ordinary use ----

// However slow the machine is, and even if one worker has all of its connections.
Test(admission, a_client_that_changes_over_128_connections_is_never_refused)
{
  enum { CONNECTIONS = 128, ROUNDS = 30 };
  static struct admission_place places[CONNECTIONS];
  struct admission *admission = fixture->gateway->admission;
  const struct admission_request request = {
      .method = contract_method_by_name(fixture->gateway->api->contract, SLICE("item.v1.ItemService/UpdateItem")),
      .caller = 1,
      .left_us = UINT64_MAX};
  for (size_t i = 0; i < ROUNDS * CONNECTIONS; i++) {
    struct admission_place *place = &places[i % CONNECTIONS];
    admission_return(admission, place, true, fixture_now_us);
    cr_assert_eq(admission_take(admission, &request, place, fixture_now_us), CONCURRENCY_ADMITTED, "call %zu", i);
    fixture_now_us += 8000;  // so a call takes a second
  }
  for (size_t i = 0; i < CONNECTIONS; i++)
    admission_return(admission, &places[i], true, fixture_now_us);
}
