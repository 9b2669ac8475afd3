// Replies of megabytes are written in pieces, between which the gateway does its other work.
#include <criterion/criterion.h>
#include <criterion/redirect.h>

#include "common/base/wire.h"
#include "gateway/exchange_internal.h"
#include "tests/support/common/read_metric.h"
#include "tests/unit/gateway/one_exchange.h"

TestSuite(large_replies, .init = open_all, .fini = close_all);

enum { ITEMS = 120, ITEM_BYTES = 30000 };
// Much less than a millisecond's work.
#define MOST_BYTES_A_PIECE ((size_t)128 * 1024)

// Returns a list of items of 30 KB each, which ends with `end`.
static struct slice make_list(struct slice end)
{
  struct strbuf wire;
  strbuf_init(&wire, 0);
  for (size_t i = 0; i < ITEMS; i++) {
    size_t mark = wire_begin_nested(&wire, 1);
    wire_write_bytes(&wire, 5, slice_from_string(arena_printf(&fixture->arena, "%0*zu", ITEM_BYTES, i)));
    wire_end_nested(&wire, mark);
  }
  strbuf_add(&wire, end);
  struct slice copy = arena_copy(&fixture->arena, strbuf_slice(&wire));
  strbuf_free(&wire);
  return copy;
}

static struct fixture_call *ask_for_list(void)
{
  return start_call(fixture_input("GET", "/v1/items"));
}

// Answers from bytes that are gone when the call has ended, as those of a packet are.
static void answer_and_overwrite(struct fixture_call *call, struct slice payload)
{
  char *bytes = malloc(payload.size);
  memcpy(bytes, payload.data, payload.size);
  fixture_answer(call, slice_make(bytes, payload.size));
  memset(bytes, 0xff, payload.size);
  free(bytes);
}

static size_t count_answered(const char *status)
{
  struct slice labels[] = {SLICE("item.v1.ItemService/ListItems"), slice_from_string(status)};
  return (size_t)read_metric(METRIC_HTTP_REQUESTS, labels, 2);
}

Test(large_replies, are_written_in_many_pieces)
{
  answer_and_overwrite(ask_for_list(), make_list(SLICE("")));
  cr_assert_eq(fixture->progress, EXCHANGE_WRITING);
  size_t pieces = 1;
  for (; exchange_write(exchange) == EXCHANGE_WRITING; pieces++)
    cr_assert_eq(count_answered("200"), 0, "an answer counts at its end");
  cr_assert_eq(count_answered("200"), 1);
  const struct exchange_reply *reply = exchange_reply(exchange);
  cr_assert_eq(reply->http_status, 200);
  cr_assert_gt(reply->body.size, (size_t)ITEMS * ITEM_BYTES);
  cr_assert_geq(pieces, reply->body.size / MOST_BYTES_A_PIECE, "%zu pieces", pieces);
  cr_assert(fixture_contains(reply->body, "119\""));
  cr_assert(fixture_contains(reply->body, "\"nextPageToken\":\"\"}"));
  cr_assert_eq(fixture->progress_count, 1);
}

Test(large_replies, let_others_be_answered_between_their_pieces)
{
  answer_and_overwrite(ask_for_list(), make_list(SLICE("")));
  size_t others = 0;
  do {
    struct exchange *other = fixture_exchange(fixture);
    struct exchange_input input = fixture_input("GET", ITEM_PATH);
    input.authorization = fixture_bearer(fixture, "user", 900);
    cr_assert_eq(exchange_start(other, &input), EXCHANGE_WAITING);
    fixture_answer(fixture_call(fixture, 2 + others), fixture_item(fixture, "Lamp", "v1"));
    cr_assert_eq(fixture->progress, EXCHANGE_DONE);
    cr_assert_eq(exchange_reply(other)->http_status, 200);
    exchange_close(&other);
    others++;
  } while (exchange_write(exchange) == EXCHANGE_WRITING);
  cr_assert_gt(others, 20);
  cr_assert_gt(exchange_reply(exchange)->body.size, (size_t)ITEMS * ITEM_BYTES);
}

Test(large_replies, that_break_off_become_a_500_with_nothing_of_what_was_written)
{
  answer_and_overwrite(ask_for_list(), make_list(SLICE("\x0a\x03\x22\x01\xff")));
  cr_redirect_stderr();
  while (exchange_write(exchange) == EXCHANGE_WRITING)
    continue;
  assert_problem(exchange_reply(exchange), 500, "INTERNAL");
  cr_assert_not_null(strstr(fixture_read_log(), "a reply does not fit its contract"));
  cr_assert_eq(count_answered("500"), 1);
}

Test(large_replies, of_clients_that_have_gone_are_written_no_more)
{
  answer_and_overwrite(ask_for_list(), make_list(SLICE("")));
  cr_assert_eq(exchange_write(exchange), EXCHANGE_WRITING);
  exchange_abandon(exchange);
  cr_assert_eq(exchange_write(exchange), EXCHANGE_WAITING);
  cr_assert_eq(count_answered("499"), 1);
}

Test(large_replies, give_way_to_a_problem_of_the_http_layer)
{
  answer_and_overwrite(ask_for_list(), make_list(SLICE("")));
  cr_assert_eq(exchange_write(exchange), EXCHANGE_WRITING);
  struct exchange_input input = fixture_input("GET", "/v1/items");
  exchange_fail_http(exchange, &input, 408);
  cr_assert_eq(exchange_write(exchange), EXCHANGE_WAITING);
  assert_problem(exchange_reply(exchange), 408, "408");
}

Test(large_replies, are_kept_in_one_form_only_while_they_are_read)
{
  struct slice list = make_list(SLICE(""));
  answer_and_overwrite(ask_for_list(), list);
  cr_assert_geq(exchange->wire.capacity, list.size);
  while (exchange_write(exchange) == EXCHANGE_WRITING)
    continue;
  cr_assert_eq(exchange->wire.capacity, 0);
  cr_assert_lt(exchange->out.capacity, 2 * list.size);
}

Test(large_replies, leave_no_memory_with_the_next_request)
{
  answer_and_overwrite(ask_for_list(), make_list(SLICE("")));
  cr_assert_eq(exchange_write(exchange), EXCHANGE_WRITING);
  exchange_close(&exchange);
  exchange = fixture_exchange(fixture);
  cr_assert_eq(exchange_write(exchange), EXCHANGE_WAITING);
  assert_problem(start(fixture_input("GET", ITEM_PATH)), 401, "TOKEN_MISSING");
}

Test(large_replies, that_cannot_be_written_in_the_clients_time_are_given_up)
{
  struct exchange_input input = fixture_input("GET", "/v1/items");
  input.time_limits.request_timeout = SLICE("1");
  answer_and_overwrite(start_call(input), make_list(SLICE("")));
  cr_assert_eq(exchange_write(exchange), EXCHANGE_WRITING);
  fixture_now_us += 1000000;
  cr_assert_eq(exchange_write(exchange), EXCHANGE_DONE);
  assert_problem(exchange_reply(exchange), 504, "DEADLINE_EXCEEDED");
  cr_assert_eq(exchange->wire.capacity, 0);
  cr_assert_eq(count_answered("504"), 1);
}

// ---- calls before the first answer ----

// Starts a request of its own for a list.
static struct exchange *start_list(void)
{
  struct exchange *other = fixture_exchange(fixture);
  struct exchange_input input = fixture_input("GET", "/v1/items");
  input.authorization = fixture_bearer(fixture, "user", 900);
  cr_assert_eq(exchange_start(other, &input), EXCHANGE_WAITING);
  return other;
}

Test(large_replies, calls_that_there_is_no_room_for_are_given_up_after_the_first_answer)
{
  enum { OTHERS = 9 };
  struct fixture_call *first = ask_for_list();
  size_t calls = fixture->call_count;
  struct exchange *others[OTHERS];
  for (size_t i = 0; i < OTHERS; i++)
    others[i] = start_list();
  cr_assert_eq(fixture->call_count, calls + OTHERS);
  answer_and_overwrite(first, make_list(SLICE("")));
  cr_assert_eq(gateway_next_timeout_us(fixture->gateway), 0);
  gateway_process(fixture->gateway, fixture_now_us);
  // There is room for four answers of 3.6 MB.
  for (size_t i = 0; i < OTHERS; i++) {
    cr_assert_eq(fixture_call(fixture, calls + i)->cancelled, i >= 3, "call %zu", i);
    if (i >= 3)
      assert_problem(exchange_reply(others[i]), 429, "TOO_MANY_UNREAD_BYTES");
  }
  cr_assert_eq(count_answered("429"), OTHERS - 3);
  while (exchange_write(exchange) == EXCHANGE_WRITING)
    continue;
  cr_assert_eq(exchange_reply(exchange)->http_status, 200);
  answer_and_overwrite(fixture_call(fixture, calls), make_list(SLICE("")));
  cr_assert_eq(fixture->progress, EXCHANGE_WRITING, "the others are answered");
  for (size_t i = 0; i < OTHERS; i++)
    exchange_close(&others[i]);
}

Test(large_replies, sixteen_calls_at_most_are_given_up_in_one_turn)
{
  enum { OTHERS = 3 + 16 + 16 + 5 };
  struct fixture_call *first = ask_for_list();
  size_t calls = fixture->call_count;
  struct exchange *others[OTHERS];
  for (size_t i = 0; i < OTHERS; i++)
    others[i] = start_list();
  answer_and_overwrite(first, make_list(SLICE("")));
  cr_assert_eq(count_answered("429"), 0, "the answer comes first");
  for (size_t turn = 0; turn < 3; turn++) {
    cr_assert_eq(gateway_next_timeout_us(fixture->gateway), 0, "turn %zu", turn);
    // One that is answered, and one whose client goes, before their turn.
    if (turn == 2) {
      fixture_answer(fixture_call(fixture, calls + OTHERS - 1), (struct slice){0});
      exchange_close(&others[OTHERS - 2]);
    }
    gateway_process(fixture->gateway, fixture_now_us);
    cr_assert_eq(count_answered("429"), turn == 2 ? 35 : 16 * (turn + 1));
  }
  cr_assert_gt(gateway_next_timeout_us(fixture->gateway), fixture_now_us);
  cr_assert_eq(count_answered("200"), 1);
  cr_assert_eq(count_answered("499"), 1);
  for (size_t i = 0; i < OTHERS; i++)
    exchange_close(&others[i]);
}

// ---- connections of their own ----

static size_t expensive_calls, expensive_cancels;

static struct rpc_call *note_call(void *arg, const struct rpc_call_options *options, rpc_done_fn *done, void *done_arg)
{
  (void)options;
  (void)done;
  (void)done_arg;
  expensive_calls++;
  return arg;
}

static bool note_cancel(void *arg, struct rpc_call *call)
{
  cr_expect_eq((void *)call, arg);
  expensive_cancels++;
  return true;
}

static void ask(const char *path)
{
  struct exchange_input input = fixture_input("GET", path);
  input.authorization = fixture_bearer(fixture, "user", 900);
  cr_assert_eq(exchange_start(exchange, &input), EXCHANGE_WAITING);
  exchange_close(&exchange);
  exchange = fixture_exchange(fixture);
}

Test(large_replies, expensive_calls_have_connections_of_their_own)
{
  fixture->gateway->expensive_backend = (struct backend){.arg = fixture, .call = note_call, .cancel = note_cancel};
  size_t usual_calls = fixture->call_count;
  ask(ITEM_PATH);
  cr_assert_eq(fixture->call_count, usual_calls + 1);
  cr_assert_eq(expensive_calls, 0);
  ask("/v1/items");
  cr_assert_eq(fixture->call_count, usual_calls + 1);
  cr_assert_eq(expensive_calls, 1);
  cr_assert_eq(expensive_cancels, 1);
}
