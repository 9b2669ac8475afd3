// Streams over a real connection: messages both ways, credit, the end of either side, faults.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "common/rpc/packet_internal.h"
#include "common/rpc/stream_flow_internal.h"
#include "tests/unit/rpc/harness.h"
#include "tests/unit/rpc/raw_peer.h"

// ---- the server of these tests: what comes goes back ----

#define MOST_PENDING 10000

static struct {
  struct rpc_request *request;  // of the last message
  size_t messages;
  size_t bytes;
  size_t half_closes;
  size_t writables;
  bool takes_nothing;
  bool is_over;                  // the client has ended its messages, and wants the reply once all have gone back
  size_t pending[MOST_PENDING];  // sizes of messages that could not go back yet
  size_t pending_begin;
  size_t pending_end;
} host;

static void send_pending(struct rig *rig, struct rpc_request *request)
{
  static char bytes[100000];
  for (; host.pending_begin != host.pending_end && rpc_request_may_write(request); host.pending_begin++) {
    size_t size = host.pending[host.pending_begin % MOST_PENDING];
    rpc_request_take_message(request, size);
    cr_assert(rpc_request_write(request, slice_make(bytes, size)));
  }
  if (host.is_over && host.pending_begin == host.pending_end)
    rig_reply(rig, 0);
}

static void echo_message(struct rig *rig, struct rpc_request *request, struct slice payload)
{
  host.request = request;
  host.messages++;
  host.bytes += payload.size;
  if (host.takes_nothing)
    return;
  cr_assert_lt(host.pending_end - host.pending_begin, MOST_PENDING);
  host.pending[host.pending_end++ % MOST_PENDING] = payload.size;
  send_pending(rig, request);
}

static void end_echo(struct rig *rig, struct rpc_request *request)
{
  host.half_closes++;
  host.is_over = host.messages > 0;
  send_pending(rig, request);
}

static void write_again(struct rig *rig, struct rpc_request *request)
{
  host.writables++;
  send_pending(rig, request);
}

static const struct stream_host echo_host = {echo_message, end_echo, write_again};
static const struct rig_options with_streams = {.answering = ANSWER_LATER, .streams = &echo_host};

// ---- the client of these tests ----

static struct {
  struct rpc_call *call;
  size_t messages;
  size_t bytes;
  size_t writables;
  char last[16];
  bool keeps;  // gives no credit
  size_t kept_sizes[20000];
} reader;

static void on_message(void *arg, struct slice payload)
{
  const struct outcome *outcome = arg;
  cr_assert(!outcome->done, "a message came after the end");
  snprintf(reader.last, sizeof(reader.last), SLICE_FMT,
           SLICE_ARG(slice_make(payload.data, payload.size < 15 ? payload.size : 15)));
  reader.kept_sizes[reader.messages++ % 20000] = payload.size;
  reader.bytes += payload.size;
  if (!reader.keeps)
    rpc_call_take_messages(reader.call, 1, payload.size);
}

static void on_writable(void *arg)
{
  (void)arg;
  reader.writables++;
}

static const struct rpc_stream_events events = {on_message, on_writable};

static void open_stream(struct rig *rig, bool writes_messages, struct outcome *outcome)
{
  memset(&reader, 0, sizeof(reader));
  memset(&host, 0, sizeof(host));
  reader.call =
      rig_open_stream(rig, (struct rpc_call_options){.stream = &events, .writes_messages = writes_messages}, outcome);
}

static bool has_messages(struct rig *rig, void *arg)
{
  (void)rig;
  return reader.messages >= *(size_t *)arg;
}

static bool may_write(struct rig *rig, void *arg)
{
  (void)rig;
  (void)arg;
  return rpc_call_may_write(reader.call);
}

// Turns both until nothing more comes.
static void settle(struct rig *rig)
{
  for (size_t turns = 0; turns < 20; turns++)
    rig_turn(rig);
}

// ---- messages ----

Test(streams, a_server_sends_messages_before_its_reply)
{
  struct rig rig;
  struct outcome outcome;
  rig_start(&rig, &with_streams);
  open_stream(&rig, false, &outcome);
  rig_until_kept(&rig, 1);
  cr_assert(rpc_request_is_stream(rig.kept[0]));
  for (size_t i = 0; i < 3; i++) {
    cr_assert(rpc_request_may_write(rig.kept[0]));
    cr_assert(rpc_request_write(rig.kept[0], i == 0 ? SLICE("one") : i == 1 ? SLICE("") : SLICE("three")));
  }
  size_t three = 3;
  rig_until(&rig, has_messages, &three);
  cr_assert_str_eq(reader.last, "three");
  cr_assert_eq(reader.bytes, 8);
  cr_assert(!outcome.done);
  cr_assert_eq(host.half_closes, 1, "a client that writes nothing says so");
  rig_reply(&rig, 0);
  rig_until_done(&rig, &outcome, 1);
  cr_assert_eq(outcome.code, STATUS_OK);
  rig_stop(&rig);
}

Test(streams, both_sides_send_many_messages_of_any_size)
{
  enum { MESSAGES = 2000 };
  static char bytes[100000];
  struct rig rig;
  struct outcome outcome;
  rig_start(&rig, &with_streams);
  open_stream(&rig, true, &outcome);
  size_t sent = 0;
  for (size_t i = 0; i < MESSAGES; i++) {
    size_t size = i % 100 == 0 ? sizeof(bytes) - i : i % 7 * 100;
    rig_until(&rig, may_write, NULL);
    cr_assert(rpc_call_write(reader.call, slice_make(bytes, size)));
    sent += size;
  }
  size_t all = MESSAGES;
  rig_until(&rig, has_messages, &all);
  rpc_call_half_close(reader.call);
  rig_until_done(&rig, &outcome, 1);
  cr_assert_eq(outcome.code, STATUS_OK);
  cr_assert_eq(reader.bytes, sent);
  cr_assert_eq(host.bytes, sent);
  rig_stop(&rig);
}

Test(streams, a_message_larger_than_the_largest_packet_is_refused_and_ends_nothing)
{
  static char bytes[70000];
  struct rig rig;
  struct outcome outcome;
  rig_start(&rig, &(struct rig_options){.answering = ANSWER_LATER, .streams = &echo_host, .max_message_bytes = 65536});
  open_stream(&rig, true, &outcome);
  rig_until(&rig, may_write, NULL);
  cr_assert(!rpc_call_write(reader.call, slice_make(bytes, sizeof(bytes))));
  cr_assert(rpc_call_write(reader.call, SLICE("small")));
  size_t one = 1;
  rig_until(&rig, has_messages, &one);
  cr_assert(!rpc_request_write(host.request, slice_make(bytes, sizeof(bytes))));
  rpc_call_half_close(reader.call);
  rig_until_done(&rig, &outcome, 1);
  cr_assert_eq(outcome.code, STATUS_OK);
  rig_stop(&rig);
}

// ---- slow readers ----

Test(streams, a_client_that_takes_nothing_stops_its_server_and_nobody_else)
{
  static char bytes[10000];
  struct rig rig;
  struct outcome outcome, other;
  rig_start(&rig, &with_streams);
  open_stream(&rig, false, &outcome);
  reader.keeps = true;
  rig_until_kept(&rig, 1);
  struct rpc_request *request = rig.kept[0];
  size_t written = 0;
  for (; rpc_request_may_write(request); written += sizeof(bytes))
    cr_assert(rpc_request_write(request, slice_make(bytes, sizeof(bytes))));
  cr_assert_leq(written, STREAM_CREDIT_BYTES + sizeof(bytes));
  rig_call(&rig, SLICE("others are served"), &other);
  rig_until_kept(&rig, 2);
  rig_reply(&rig, 1);
  rig_until_done(&rig, &other, 1);
  cr_assert_eq(reader.bytes, written);
  cr_assert_eq(host.writables, 0);
  cr_assert(!rpc_request_may_write(request));
  for (size_t i = 0; i < reader.messages; i++)
    rpc_call_take_messages(reader.call, 1, reader.kept_sizes[i]);
  settle(&rig);
  cr_assert_eq(host.writables, 1);
  cr_assert(rpc_request_may_write(request));
  rig_stop(&rig);
}

Test(streams, a_server_that_takes_nothing_stops_its_client)
{
  static char bytes[10000];
  struct rig rig;
  struct outcome outcome;
  rig_start(&rig, &with_streams);
  open_stream(&rig, true, &outcome);
  host.takes_nothing = true;
  rig_until(&rig, may_write, NULL);
  size_t written = 0;
  for (; rpc_call_may_write(reader.call); written += sizeof(bytes))
    cr_assert(rpc_call_write(reader.call, slice_make(bytes, sizeof(bytes))));
  settle(&rig);
  cr_assert_leq(written, STREAM_CREDIT_BYTES + sizeof(bytes));
  cr_assert_eq(host.bytes, written);
  reader.writables = 0;
  for (size_t i = 0; i < host.messages; i++)
    rpc_request_take_message(host.request, sizeof(bytes));
  settle(&rig);
  cr_assert_eq(reader.writables, 1);
  rig_stop(&rig);
}

// Eight streams have more credit than a connection takes at a time.
Test(streams, a_connection_that_is_not_read_stops_the_streams_over_it)
{
  enum { STREAMS = 8 };
  static char bytes[64000];
  struct rig rig;
  struct outcome outcomes[STREAMS];
  rig_start(&rig, &with_streams);
  memset(&reader, 0, sizeof(reader));
  memset(&host, 0, sizeof(host));
  reader.keeps = true;
  for (size_t i = 0; i < STREAMS; i++)
    reader.call = rig_open_stream(&rig, (struct rpc_call_options){.stream = &events}, &outcomes[i]);
  rig_until_kept(&rig, STREAMS);
  // Fills the sockets' buffers, so that what follows waits in the server.
  rig.client_stopped = true;
  size_t written = 0, before;
  do {
    before = written;
    for (size_t i = 0; i < STREAMS; i++)
      for (; rpc_request_may_write(rig.kept[i]); written += sizeof(bytes))
        cr_assert(rpc_request_write(rig.kept[i], slice_make(bytes, sizeof(bytes))));
    settle(&rig);
  } while (written != before);
  rig.client_stopped = false;
  size_t all = STREAMS * (STREAM_CREDIT_BYTES / (sizeof(bytes) + STREAM_MESSAGE_COST) + 1);
  for (size_t turns = 0; reader.messages < all && turns < 2000; turns++) {
    for (size_t i = 0; i < STREAMS; i++)
      for (; rpc_request_may_write(rig.kept[i]); written += sizeof(bytes))
        cr_assert(rpc_request_write(rig.kept[i], slice_make(bytes, sizeof(bytes))));
    rig_turn(&rig);
  }
  cr_assert_eq(reader.messages, all, "%zu of %zu", reader.messages, all);
  rig_stop(&rig);
}

// ---- ends ----

static bool was_cancelled(struct rig *rig, void *arg)
{
  (void)arg;
  return rig->cancels == 1;
}

Test(streams, a_cancelled_stream_is_cancelled_at_the_server_and_writes_no_more)
{
  struct rig rig;
  struct outcome outcome;
  rig_start(&rig, &with_streams);
  open_stream(&rig, true, &outcome);
  rig_until(&rig, may_write, NULL);
  cr_assert(rpc_call_write(reader.call, SLICE("first")));
  size_t one = 1;
  rig_until(&rig, has_messages, &one);
  cr_assert(rpc_call_cancel(reader.call));
  rig_until(&rig, was_cancelled, NULL);
  cr_assert(!rpc_request_may_write(rig.kept[0]));
  rig_reply(&rig, 0);
  settle(&rig);
  cr_assert(!outcome.done);
  rig_stop(&rig);
}

Test(streams, a_stream_fails_with_its_connection_and_is_not_opened_again)
{
  struct rig rig;
  struct outcome outcome;
  rig_start(&rig, &with_streams);
  rig.other = rig_listen(&rig, "tcp://127.0.0.1:0", &with_streams);
  memset(&reader, 0, sizeof(reader));
  memset(&host, 0, sizeof(host));
  const struct rpc_call_options options = {.stream = &events, .writes_messages = true, .is_repeatable = true};
  reader.call = rig_open_stream(&rig, options, &outcome);
  rig_until(&rig, may_write, NULL);
  cr_assert(rpc_call_write(reader.call, SLICE("first")));
  size_t one = 1;
  rig_until(&rig, has_messages, &one);
  const int ports[] = {rpc_server_port(rig.server), rpc_server_port(rig.other)};
  rig_set_endpoints(&rig, ports, 2);
  rig_until_ready(&rig, 2);
  // The reply is dropped with the connection.
  rig_reply(&rig, 0);
  rpc_server_free(&rig.server);
  rig_until_done(&rig, &outcome, 1);
  cr_assert_eq(outcome.code, STATUS_UNAVAILABLE);
  cr_assert_str_eq(outcome.reason, RPC_OUTCOME_UNKNOWN);
  settle(&rig);
  cr_assert_eq(rig.requests, 1);
  rig_stop(&rig);
}

Test(streams, a_server_without_streams_says_so)
{
  struct rig rig;
  struct outcome outcome;
  rig_start(&rig, &(struct rig_options){0});
  open_stream(&rig, false, &outcome);
  rig_until_done(&rig, &outcome, 1);
  cr_assert_eq(outcome.code, STATUS_UNIMPLEMENTED);
  cr_assert_eq(rig.requests, 0);
  rig_stop(&rig);
}

// Streams and calls take no room from each other.
Test(streams, streams_and_calls_have_limits_of_their_own)
{
  enum { STREAMS = 3, CALLS = 2 };
  struct rig rig;
  struct outcome streams[STREAMS + 1], calls[CALLS + 1];
  rig_start(&rig, &(struct rig_options){.answering = ANSWER_LATER,
                                        .streams = &echo_host,
                                        .max_streams = STREAMS,
                                        .max_calls_in_flight = CALLS});
  for (size_t i = 0; i <= STREAMS; i++)
    open_stream(&rig, false, &streams[i]);
  rig_until_done(&rig, &streams[STREAMS], 1);
  cr_expect_eq(streams[STREAMS].code, STATUS_RESOURCE_EXHAUSTED);
  for (size_t i = 0; i <= CALLS; i++)
    rig_call(&rig, SLICE("call"), &calls[i]);
  rig_until_done(&rig, &calls[CALLS], 1);
  cr_expect_eq(calls[CALLS].code, STATUS_RESOURCE_EXHAUSTED);
  rig_until_kept(&rig, STREAMS + CALLS);
  while (rig.kept_count != 0)
    rig_reply(&rig, 0);
  rig_until_done(&rig, streams, STREAMS);
  rig_until_done(&rig, calls, CALLS);
  rig_stop(&rig);
}

Test(streams, a_stream_goes_on_while_its_server_drains)
{
  struct rig rig;
  struct outcome outcome;
  rig_start(&rig, &with_streams);
  open_stream(&rig, true, &outcome);
  rig_until(&rig, may_write, NULL);
  rpc_server_drain(rig.server);
  settle(&rig);
  cr_assert_eq(rpc_client_ready_endpoints(rig.client, "test"), 0);
  for (size_t i = 1; i <= 10; i++) {
    cr_assert(rpc_call_write(reader.call, SLICE("on")));
    rig_until(&rig, has_messages, &i);
  }
  rpc_call_half_close(reader.call);
  rig_until_done(&rig, &outcome, 1);
  cr_assert_eq(outcome.code, STATUS_OK);
  rig_stop(&rig);
}

Test(streams, a_stream_ends_at_its_deadline)
{
  struct rig rig;
  struct outcome outcome;
  rig_start(&rig, &with_streams);
  memset(&reader, 0, sizeof(reader));
  memset(&host, 0, sizeof(host));
  const struct rpc_call_options options = {.stream = &events, .deadline_us = clock_now_us() + 50000};
  reader.call = rig_open_stream(&rig, options, &outcome);
  rig_until_done(&rig, &outcome, 1);
  cr_assert_eq(outcome.code, STATUS_DEADLINE_EXCEEDED);
  rig_stop(&rig);
}

// ---- peers that break the rules ----

static void send_stream_frames(nng_socket socket, uint32_t kind, size_t count, size_t size)
{
  static char bytes[60000];
  for (size_t i = 0; i < count; i++) {
    const struct rpc_frame frame = {.call_id = 7, .kind = kind, .payload = slice_make(bytes, size), .credit = 1};
    raw_send_frames(socket, &frame, 1, 0);
  }
}

// Waits for the response to the call 7, and copies its reason.
static bool has_response(nng_socket socket, char reason[64])
{
  struct raw_packet packet;
  bool found = false;
  while (!found && raw_receive(socket, &packet)) {
    for (size_t i = 0; i < packet.count; i++)
      if (packet.frames[i].kind == RPC_FRAME_RESPONSE && packet.frames[i].call_id == 7) {
        snprintf(reason, 64, SLICE_FMT, SLICE_ARG(packet.frames[i].status.reason));
        found = true;
      }
    raw_packet_free(&packet);
  }
  return found;
}

Test(streams, a_client_that_sends_without_credit_loses_its_stream_only)
{
  struct rig rig;
  char reason[64] = "";
  rig_start(&rig, &(struct rig_options){.answering = ANSWER_LATER, .streams = &echo_host, .without_client = true});
  memset(&host, 0, sizeof(host));
  host.takes_nothing = true;
  nng_socket socket = raw_dial(rpc_server_port(rig.server));
  // These frames are for a call that nobody has opened.
  send_stream_frames(socket, RPC_FRAME_MESSAGE, 1, 10);
  send_stream_frames(socket, RPC_FRAME_CREDIT, 1, 0);
  send_stream_frames(socket, RPC_FRAME_HALF_CLOSE, 1, 0);
  const struct rpc_frame open = {.call_id = 7,
                                 .kind = RPC_FRAME_REQUEST,
                                 .method = SLICE("test.v1.Test/Echo"),
                                 .timeout_ms = 60000,
                                 .credit = 1000};
  raw_send_frames(socket, &open, 1, 0);
  send_stream_frames(socket, RPC_FRAME_MESSAGE, 10, 60000);
  while (!has_response(socket, reason))
    rig_turn(&rig);
  cr_assert_str_eq(reason, "NO_CREDIT");
  cr_assert_eq(rig.cancels, 1);
  cr_assert_leq(host.bytes, STREAM_CREDIT_BYTES + 60000);
  rig_reply_all(&rig);
  struct rpc_frame second = open;
  second.call_id = 8;
  raw_send_frames(socket, &second, 1, 0);
  rig_until_kept(&rig, 1);
  rig_stop(&rig);
}
