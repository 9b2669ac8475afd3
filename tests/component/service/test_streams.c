// Streams into a running service: what handlers read and write, and how a stream ends.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "item/v1/item.pb-c.h"
#include "tests/component/service/probe.h"
#include "tests/component/service/probe_process.h"
#include "tests/component/service/probe_streams.h"
#include "tests/support/service/process.h"

static struct process probe;
static struct driver gateway;

// One stream as this test sees it.
static struct {
  struct rpc_call *call;
  bool reads_nothing;  // gives no credit for what comes
  size_t unread;       // bytes without credit
  size_t messages;
  int64_t sum;  // of the items' quantities
  char name[64];
  bool done;
  enum status status;
  char reason[64];
  char message[200];
  char field[64];
  int64_t reply;  // quantity of the reply
} stream;

static void setup(void)
{
  probe_open_connected(&probe, &gateway);
}

static void teardown(void)
{
  probe_close(&probe, &gateway);
}

TestSuite(streams, .init = setup, .fini = teardown);

static void on_message(void *arg, struct slice payload)
{
  (void)arg;
  Item__V1__Item *item = item__v1__item__unpack(NULL, payload.size, (const uint8_t *)payload.data);
  cr_assert_not_null(item);
  stream.messages++;
  stream.unread += stream.reads_nothing ? payload.size : 0;
  stream.sum += item->quantity;
  snprintf(stream.name, sizeof(stream.name), "%s", item->name);
  item__v1__item__free_unpacked(item, NULL);
  if (!stream.reads_nothing)
    rpc_call_take_messages(stream.call, 1, payload.size);
}

static void on_writable(void *arg)
{
  (void)arg;
}

static void on_done(void *arg, const struct rpc_status *status, struct slice payload)
{
  (void)arg;
  stream.done = true;
  stream.status = status->code;
  snprintf(stream.reason, sizeof(stream.reason), SLICE_FMT, SLICE_ARG(status->reason));
  snprintf(stream.message, sizeof(stream.message), SLICE_FMT, SLICE_ARG(status->message));
  if (status->violation_count > 0)
    snprintf(stream.field, sizeof(stream.field), SLICE_FMT, SLICE_ARG(status->violations[0].field));
  Item__V1__Item *item = item__v1__item__unpack(NULL, payload.size, (const uint8_t *)payload.data);
  cr_assert_not_null(item);
  stream.reply = item->quantity;
  item__v1__item__free_unpacked(item, NULL);
}

static struct slice pack(char *q, int page_size)
{
  Item__V1__ListItemsRequest request = ITEM__V1__LIST_ITEMS_REQUEST__INIT;
  request.q = q;
  request.page_size = page_size;
  return driver_pack(&gateway, &request.base);
}

static void open_stream(const char *method, bool writes_messages, struct slice payload)
{
  static const struct rpc_stream_events events = {on_message, on_writable};
  memset(&stream, 0, sizeof(stream));
  const struct rpc_call_options options = {.service = "probe",
                                           .method = slice_from_string(method),
                                           .payload = payload,
                                           .deadline_us = patience_end_us(),
                                           .stream = &events,
                                           .writes_messages = writes_messages};
  stream.call = rpc_client_call(gateway.client, &options, on_done, NULL);
}

static void write_message(char *q, int page_size)
{
  uint64_t end_us = patience_end_us();
  while (!rpc_call_may_write(stream.call)) {
    cr_assert(!stream.done && clock_now_us() < end_us);
    driver_turn(&gateway);
  }
  cr_assert(rpc_call_write(stream.call, pack(q, page_size)));
}

static void await_messages(size_t count)
{
  for (uint64_t end_us = patience_end_us(); stream.messages < count; driver_turn(&gateway))
    cr_assert(!stream.done && clock_now_us() < end_us, "%zu messages, then: %s", stream.messages, stream.message);
}

static void await_end(enum status status)
{
  for (uint64_t end_us = patience_end_us(); !stream.done; driver_turn(&gateway))
    cr_assert_lt(clock_now_us(), end_us);
  cr_assert_eq(stream.status, status, "%s: %s", stream.reason, stream.message);
}

Test(streams, a_handler_sends_any_number_of_messages)
{
  open_stream(PROBE_COUNT, false, pack("", 200));
  await_end(STATUS_OK);
  cr_expect_eq(stream.messages, 200);
  cr_expect_eq(stream.sum, 200 * 201 / 2);
  open_stream(PROBE_COUNT, false, pack("", 0));
  await_end(STATUS_OK);
  cr_expect_eq(stream.messages, 0);
}

Test(streams, a_failure_comes_after_the_messages_before_it)
{
  open_stream(PROBE_COUNT, false, pack(PROBE_STREAM_FAILS, 3));
  await_end(STATUS_ALREADY_EXISTS);
  cr_expect_eq(stream.messages, 3);
  cr_expect_str_eq(stream.reason, "COUNTED");
  cr_expect_str_eq(stream.message, "so it is");
}

Test(streams, a_handler_reads_until_the_client_ends_and_then_replies)
{
  open_stream(PROBE_SUM, true, (struct slice){0});
  for (int i = 1; i <= 1000; i++)
    write_message("", i % 200);
  rpc_call_half_close(stream.call);
  await_end(STATUS_OK);
  cr_expect_eq(stream.reply, 5 * (199 * 200 / 2));
  cr_expect_eq(stream.messages, 0);
}

Test(streams, both_sides_talk_in_turns)
{
  char words[][8] = {"one", "two", "three"};
  open_stream(PROBE_ECHO, true, (struct slice){0});
  for (size_t i = 0; i < 3; i++) {
    write_message(words[i], 0);
    await_messages(i + 1);
    cr_expect_str_eq(stream.name, words[i]);
  }
  write_message(PROBE_STREAM_FAILS, 0);
  await_end(STATUS_ALREADY_EXISTS);
  cr_expect_str_eq(stream.reason, "ECHOED");
}

Test(streams, every_message_is_held_against_its_contract)
{
  open_stream(PROBE_SUM, true, (struct slice){0});
  write_message("", 1);
  write_message("", 100000);
  await_end(STATUS_INVALID_ARGUMENT);
  cr_expect_str_eq(stream.reason, "INVALID_REQUEST");
  cr_expect_str_eq(stream.field, "pageSize");

  open_stream(PROBE_SUM, true, (struct slice){0});
  write_message("", 1);
  cr_assert(rpc_call_write(stream.call, SLICE("\xff nonsense")));
  await_end(STATUS_INVALID_ARGUMENT);
  cr_expect_str_eq(stream.reason, "MALFORMED_REQUEST");

  open_stream(PROBE_COUNT, false, pack("", 100000));
  await_end(STATUS_INVALID_ARGUMENT);
  cr_expect_str_eq(stream.field, "pageSize");
}

Test(streams, a_method_is_called_as_its_contract_says)
{
  const struct rpc_context context = {0};
  Item__V1__ListItemsRequest request = ITEM__V1__LIST_ITEMS_REQUEST__INIT;
  struct outcome outcome = driver_call(&gateway, PROBE_COUNT, &request.base, &context);
  cr_expect_eq(outcome.status, STATUS_UNIMPLEMENTED);
  cr_expect(slice_equal_string(outcome.reason, "WRONG_KIND_OF_CALL"));
  open_stream(PROBE_ADD, false, pack("", 1));
  await_end(STATUS_UNIMPLEMENTED);
  cr_expect_str_eq(stream.reason, "WRONG_KIND_OF_CALL");
}

// ---- one task reads, another writes ----

// Opens a stream whose handler cannot write all that it has to, and waits until it waits for credit.
static void open_both(void)
{
  open_stream(PROBE_BOTH, true, (struct slice){0});
  stream.reads_nothing = true;
  await_messages(10);
}

Test(streams, one_task_reads_while_another_waits_to_write)
{
  open_both();
  for (int i = 1; i <= 1000; i++)
    write_message("", i % 200);
  rpc_call_half_close(stream.call);
  stream.reads_nothing = false;
  rpc_call_take_messages(stream.call, 1, stream.unread);
  await_end(STATUS_OK);
  cr_expect_eq(stream.messages, PROBE_BOTH_ITEMS + 1);
  cr_expect_str_eq(stream.name, "sum");
  cr_expect_eq(stream.sum, 5 * (199 * 200 / 2));
}

Test(streams, what_ends_the_stream_for_the_reader_ends_it_for_the_writer)
{
  open_both();
  write_message("", 100000);
  await_end(STATUS_INVALID_ARGUMENT);
  cr_expect_str_eq(stream.field, "pageSize");
}

// ---- streams between services ----

Test(streams, a_handler_passes_messages_on_to_another_service_and_back)
{
  open_stream(PROBE_RELAY, true, (struct slice){0});
  for (size_t i = 1; i <= 20; i++) {
    write_message("there and back", 0);
    await_messages(i);
  }
  cr_expect_str_eq(stream.name, "there and back");
  rpc_call_half_close(stream.call);
  await_end(STATUS_OK);

  open_stream(PROBE_RELAY, true, (struct slice){0});
  write_message(PROBE_STREAM_FAILS, 0);
  await_end(STATUS_ALREADY_EXISTS);
  cr_expect_str_eq(stream.reason, "ECHOED");
}

Test(streams, a_call_without_a_stream_may_use_streams_of_others)
{
  const struct rpc_context context = {0};
  Item__V1__ListItemsRequest request = ITEM__V1__LIST_ITEMS_REQUEST__INIT;
  request.page_size = 150;
  request.q = "";
  struct outcome outcome = driver_call(&gateway, PROBE_ADD, &request.base, &context);
  cr_assert_eq(outcome.status, STATUS_OK);
  const Item__V1__Item *item =
      (const Item__V1__Item *)(const void *)driver_reply(&outcome, &item__v1__item__descriptor);
  cr_expect_eq(item->quantity, 150 * 151 / 2);
  request.q = PROBE_STREAM_FAILS;
  outcome = driver_call(&gateway, PROBE_ADD, &request.base, &context);
  cr_expect_eq(outcome.status, STATUS_ALREADY_EXISTS);
  cr_expect(slice_equal_string(outcome.reason, "COUNTED"));
}

Test(streams, a_peer_that_replies_early_ends_the_writes_and_its_reply_counts)
{
  const struct rpc_context context = {0};
  Item__V1__ListItemsRequest request = ITEM__V1__LIST_ITEMS_REQUEST__INIT;
  request.page_size = 200;
  request.q = PROBE_HASTY_PEER;
  struct outcome outcome = driver_call(&gateway, PROBE_ADD, &request.base, &context);
  cr_assert_eq(outcome.status, STATUS_OK, SLICE_FMT, SLICE_ARG(outcome.message));
  const Item__V1__Item *item =
      (const Item__V1__Item *)(const void *)driver_reply(&outcome, &item__v1__item__descriptor);
  cr_expect_eq(item->quantity, 1001);
}

// ---- ends ----

Test(streams, a_client_that_goes_silent_meets_the_time_limit_of_a_message)
{
  open_stream(PROBE_HURRY, true, (struct slice){0});
  write_message("", 1);
  await_end(STATUS_DEADLINE_EXCEEDED);
}

Test(stream_drain, an_endless_stream_ends_with_the_drain_and_may_be_opened_elsewhere, .init = setup)
{
  open_stream(PROBE_WATCH, false, pack("", 0));
  await_messages(1);
  cr_assert_eq(kill(probe.pid, SIGTERM), 0);
  await_end(STATUS_UNAVAILABLE);
  driver_close(&gateway);
  cr_expect_eq(process_end(&probe), 0, "%s", strbuf_cstring(&probe.output));
  process_free(&probe);
}

Test(stream_drain, a_stream_in_which_nothing_comes_does_not_hold_the_drain)
{
  probe_open(&probe, &gateway, (const char *const[]){"DRAIN_TIMEOUT=10m", NULL});
  open_stream(PROBE_SUM, true, (struct slice){0});
  write_message("", 1);
  cr_assert_eq(kill(probe.pid, SIGTERM), 0);
  await_end(STATUS_UNAVAILABLE);
  driver_close(&gateway);
  cr_expect_eq(process_end(&probe), 0, "%s", strbuf_cstring(&probe.output));
  process_free(&probe);
}
