// What can go wrong with streams: servers that stand still, sockets that are full, balance, memory.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "common/rpc/client_internal.h"
#include "common/rpc/liveness_internal.h"
#include "common/rpc/request_internal.h"
#include "tests/unit/rpc/harness.h"
#include "tests/unit/rpc/raw_peer.h"

static size_t seen;               // messages at the server
static struct rpc_call *writing;  // writes once it may

static void take_message(struct rig *rig, struct rpc_request *request, struct slice payload)
{
  (void)rig;
  rpc_request_take_message(request, payload.size);
  seen++;
}

static void ignore(struct rig *rig, struct rpc_request *request)
{
  (void)rig;
  (void)request;
}

static const struct stream_host host = {take_message, ignore, ignore};
static const struct rig_options with_streams = {.answering = ANSWER_LATER, .streams = &host};

static void on_message(void *arg, struct slice payload)
{
  (void)arg;
  (void)payload;
}

static void on_writable(void *arg)
{
  (void)arg;
  if (writing == NULL)
    return;
  cr_assert(rpc_call_write(writing, SLICE("from on_writable")));
  writing = NULL;
}

static const struct rpc_stream_events events = {on_message, on_writable};
static const struct rpc_call_options writes = {.stream = &events, .writes_messages = true};

static struct rpc_call *open_stream(struct rig *rig, const struct rpc_call_options *options, struct outcome *outcome)
{
  return rig_open_stream(rig, *options, outcome);
}

// ---- servers that stand still ----

// Sets the endpoints of the first rig's client to its own server and that of the second.
static void know_both(struct rig *first, struct rig *second, size_t count)
{
  const int ports[] = {rpc_server_port(first->server), rpc_server_port(second->server)};
  rig_set_endpoints(first, ports, count);
  while (rpc_client_ready_endpoints(first->client, "test") != count) {
    rig_turn(second);
    rig_turn(first);
  }
}

// Lets so much time pass for the client that it calls a server silent that says nothing.
static void pass_time(struct rig *rig)
{
  uint64_t now_us = clock_now_us();
  for (uint64_t at_us = now_us; at_us <= now_us + 1000000; at_us += (uint64_t)LIVENESS_BUSY_LOOK_MS * 1000) {
    rpc_client_process(rig->client, at_us);
    rpc_client_flush(rig->client);
  }
}

static void start_pair(struct rig *first, struct rig *second)
{
  rig_start(first, &with_streams);
  rig_start(second, &(struct rig_options){.answering = ANSWER_LATER, .streams = &host, .without_client = true});
}

// A stream whose messages wait behind its request must not lose that to another server.
Test(stream_faults, a_stream_that_waits_in_front_of_a_silent_server_arrives_there_whole)
{
  static struct outcome fill[4000];
  static char bytes[64000];
  static struct rig first, second;
  struct outcome outcome;
  struct rpc_call *call;
  size_t count = 0;
  seen = 0;
  start_pair(&first, &second);
  first.server_stopped = true;
  do {
    call = rig_call(&first, slice_make(bytes, sizeof(bytes)), &fill[count++]);
    rpc_client_flush(first.client);
  } while (sender_unsent_bytes(&call->attempt.endpoint->sender) == 0 && count < 4000);
  cr_assert_lt(count, 4000);
  struct rpc_call *stream = open_stream(&first, &writes, &outcome);
  rpc_client_flush(first.client);
  cr_assert(rpc_call_may_write(stream));
  cr_assert(rpc_call_write(stream, SLICE("first message")));
  know_both(&first, &second, 2);
  pass_time(&first);
  first.server_stopped = false;
  for (uint64_t end_us = clock_now_us() + 60000000; seen == 0; rig_turn(&first))
    cr_assert(!outcome.done && clock_now_us() < end_us, "the stream has neither arrived nor ended");
  rig_stop(&first);
  rig_stop(&second);
}

// Messages of the first attempt could be taken for those of the second.
Test(stream_faults, a_stream_that_may_have_begun_is_not_opened_elsewhere)
{
  static struct rig first, second;
  struct outcome silent;
  const struct rpc_call_options repeatable = {.stream = &events, .is_repeatable = true};
  start_pair(&first, &second);
  open_stream(&first, &repeatable, &silent);
  rig_until_kept(&first, 1);
  know_both(&first, &second, 2);
  first.server_stopped = true;
  pass_time(&first);
  for (size_t turns = 0; turns < 20; turns++) {
    rig_turn(&second);
    rig_turn(&first);
  }
  cr_assert_eq(second.requests, 0);
  cr_assert(!silent.done);
  first.server_stopped = false;
  rig_stop(&first);
  rig_stop(&second);
}

// ---- what a stream tells of its endpoint ----

Test(stream_faults, streams_that_end_well_clear_the_failures_of_an_endpoint)
{
  struct rig rig;
  struct outcome outcome;
  rig_start(&rig, &with_streams);
  struct endpoint *endpoint = NULL;
  for (size_t i = 0; i < 20; i++) {
    struct rpc_call *call = rig_open_stream(&rig, (struct rpc_call_options){.stream = &events}, &outcome);
    endpoint = call->attempt.endpoint;
    rig_until_kept(&rig, 1);
    struct rpc_request *request = rig.kept[0];
    rig.kept_count = 0;
    const struct rpc_status failed = {.code = STATUS_INTERNAL, .message = SLICE("x"), .reason = SLICE("x")};
    rpc_request_reply(request, i % 4 == 0 ? &failed : NULL, (struct slice){0});
    rig_until_done(&rig, &outcome, 1);
  }
  cr_expect_lt(endpoint->load.ejection.failures, 2,
               "5 of 20 streams failed, never two in a row, and %u failures in a row are counted",
               (unsigned)endpoint->load.ejection.failures);
  rig_stop(&rig);
}

static bool has_closed_breakers(struct rig *rig, void *arg)
{
  (void)arg;
  return !breaker_set_is_open(&endpoint_of(rig->client->channels->candidates[0])->breakers, 0);
}

Test(stream_faults, the_first_frames_of_streams_close_the_breaker_of_their_method)
{
  static const struct rpc_status broken = {.code = STATUS_INTERNAL};
  struct rig rig;
  rig_start(&rig, &with_streams);
  struct endpoint *endpoint = endpoint_of(rig.client->channels->candidates[0]);
  for (size_t i = 0; i < 10; i++) {
    struct outcome outcome;
    rig_open_stream(&rig, (struct rpc_call_options){.stream = &events}, &outcome);
    rig_until_kept(&rig, 1);
    rpc_request_reply(rig.kept[--rig.kept_count], &broken, (struct slice){0});
    rig_until_done(&rig, &outcome, 1);
  }
  cr_assert(breaker_set_is_open(&endpoint->breakers, 0));
  struct outcome outcomes[3];
  for (size_t i = 0; i < 3; i++)
    rig_open_stream(&rig, (struct rpc_call_options){.stream = &events}, &outcomes[i]);
  rig_until_kept(&rig, 3);
  for (size_t i = 0; i < 3; i++)
    cr_assert(rpc_request_write(rig.kept[i], SLICE("a message")));
  rig_until(&rig, has_closed_breakers, NULL);
  float failed = endpoint->breakers.breakers[0].failed;
  rig_reply_all(&rig);
  rig_until_done(&rig, outcomes, 3);
  cr_expect_eq(endpoint->breakers.breakers[0].failed, failed, "each stream counts as answered once");
  rig_stop(&rig);
}

Test(stream_faults, one_long_stream_that_fails_does_not_eject_its_endpoint)
{
  struct balancer balancer = {.max_in_flight = 100};
  struct balancer_candidate one = {0}, two = {0};
  struct balancer_candidate *both[] = {&one, &two};
  uint64_t now = 100000000;
  one.ready = two.ready = true;
  balancer_note_ready(&one, now);
  balancer_note_ready(&two, now);
  now += 60000000;
  balancer_count_sent(&one, 1000, now - 60000000);
  one.heard_us = two.heard_us = now;
  balancer_count_ended(&one, 1000);
  const struct balancer_reply failed = {.duration_us = 60000000, .cost_us = 1000, .failed = true, .is_untimed = true};
  (void)balancer_note_reply(&one, &failed, now);
  struct balancer_candidate *slow = NULL;
  const struct balancer_reply fine = {.duration_us = 1000, .cost_us = 1000};
  for (size_t i = 0; i < 30 && slow == NULL; i++) {
    now += 100000;
    one.heard_us = two.heard_us = now;
    // Ten calls a second reach each.
    (void)balancer_note_reply(&two, &fine, now);
    (void)balancer_note_reply(&one, &fine, now);
    slow = balancer_find_slow(&balancer, both, 2, now);
  }
  cr_expect(slow == NULL, "ejected for slowness after one failed stream");
}

// ---- writing and memory ----

Test(stream_faults, what_on_writable_writes_leaves_with_the_flush)
{
  struct rig rig;
  struct outcome outcome;
  rig_start(&rig, &with_streams);
  writing = rig_open_stream(&rig, (struct rpc_call_options){.stream = &events, .writes_messages = true}, &outcome);
  struct rpc_call *call = writing;
  rpc_client_flush(rig.client);
  cr_expect_eq(sender_unsent_bytes(&call->attempt.endpoint->sender), 0, "%zu bytes stay, and next timeout is %llu",
               sender_unsent_bytes(&call->attempt.endpoint->sender),
               (unsigned long long)rpc_client_next_timeout_us(rig.client));
  rig_stop(&rig);
}

Test(stream_faults, streams_within_their_credit_do_not_cost_the_connection)
{
  enum { STREAMS = 8 };
  static char bytes[8000];
  struct rig rig;
  struct outcome outcomes[STREAMS];
  rig_start(&rig, &(struct rig_options){.answering = ANSWER_LATER, .streams = &host, .max_message_bytes = 16384});
  for (size_t i = 0; i < STREAMS; i++)
    rig_open_stream(&rig, (struct rpc_call_options){.stream = &events}, &outcomes[i]);
  rig_until_kept(&rig, STREAMS);
  rig.client_stopped = true;
  for (size_t turn = 0; turn < 50; turn++) {
    for (size_t i = 0; i < STREAMS; i++)
      while (rpc_request_may_write(rig.kept[i]))
        cr_assert(rpc_request_write(rig.kept[i], slice_make(bytes, sizeof(bytes))));
    rig_turn(&rig);
  }
  cr_expect_eq(rig.cancels, 0, "%zu streams were cancelled, because the server closed the connection", rig.cancels);
  rig.client_stopped = false;
  rig_stop(&rig);
}

Test(stream_faults, a_long_stream_does_not_keep_the_packet_that_opened_it)
{
  enum { OTHERS = 30 };
  static char bytes[8000];
  struct rig rig;
  struct outcome outcome, others[OTHERS];
  rig_start(&rig, &with_streams);
  rig_open_stream(&rig, (struct rpc_call_options){.stream = &events}, &outcome);
  for (size_t i = 0; i < OTHERS; i++)
    rig_call(&rig, slice_make(bytes, sizeof(bytes)), &others[i]);
  rig_until_kept(&rig, OTHERS + 1);
  struct rpc_request *stream = NULL;
  for (size_t i = rig.kept_count; i-- > 0;)
    if (rpc_request_is_stream(rig.kept[i]))
      stream = rig.kept[i];
  while (rig.kept_count > 1)
    rig_reply(&rig, rig.kept[0] == stream ? 1 : 0);
  rig_until_done(&rig, others, OTHERS);
  cr_expect_null(stream->message);
  rig_stop(&rig);
}

Test(stream_faults, an_id_that_is_used_again_after_a_cancel_reaches_the_new_request)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.answering = ANSWER_LATER, .streams = &host, .without_client = true});
  nng_socket socket = raw_dial(rpc_server_port(rig.server));
  const struct rpc_frame open = {.call_id = 7,
                                 .kind = RPC_FRAME_REQUEST,
                                 .method = SLICE("test.v1.Test/Echo"),
                                 .timeout_ms = 60000,
                                 .credit = 1000};
  const struct rpc_frame cancel = {.call_id = 7, .kind = RPC_FRAME_CANCEL};
  const struct rpc_frame message = {.call_id = 7, .kind = RPC_FRAME_MESSAGE, .payload = SLICE("hello")};
  raw_send_frames(socket, &open, 1, 0);
  rig_until_kept(&rig, 1);
  raw_send_frames(socket, &cancel, 1, 0);
  raw_send_frames(socket, &open, 1, 0);
  rig_until_kept(&rig, 2);
  raw_send_frames(socket, &message, 1, 0);
  for (size_t i = 0; i < 100 && seen == 0; i++)
    rig_turn(&rig);
  cr_expect_eq(seen, 1, "the message went to the cancelled request, and was dropped");
  rig_reply_all(&rig);
  rig_stop(&rig);
}
