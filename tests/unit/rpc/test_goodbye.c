// Ends and limits that each side must hold to, whatever the other side does: GOAWAY, abandoned clients, endpoints that
// are no longer listed, timeouts on the wire.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/common/read_metric.h"
#include "tests/unit/rpc/harness.h"
#include "tests/unit/rpc/raw_peer.h"

static const struct rpc_frame request = {.call_id = 1, .kind = RPC_FRAME_REQUEST, .method = SLICE_INIT("a/b")};

struct raw_wait {
  nng_socket socket;
  struct raw_packet packet;
};

static bool has_packet(struct rig *rig, void *arg)
{
  (void)rig;
  struct raw_wait *wait = arg;
  return raw_receive(wait->socket, &wait->packet);
}

// Turns the rig until the raw socket has received a packet.
static void wait_for_packet(struct rig *rig, struct raw_wait *wait)
{
  rig_until(rig, has_packet, wait);
}

static bool is_server_idle(struct rig *rig, void *arg)
{
  (void)arg;
  return rpc_server_idle(rig->server);
}

// ---- the server's side of a drain ----

Test(goodbye, requests_that_cross_with_the_goaway_are_served_and_later_ones_refused)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.without_client = true});
  struct raw_wait raw = {.socket = raw_dial(rpc_server_port(rig.server))};
  raw_send_frames(raw.socket, &request, 1, 0);
  wait_for_packet(&rig, &raw);
  raw_packet_free(&raw.packet);
  rpc_server_drain(rig.server);
  wait_for_packet(&rig, &raw);
  cr_assert_eq(raw.packet.count, 1);
  cr_assert_eq(raw.packet.frames[0].kind, RPC_FRAME_GOAWAY);
  raw_packet_free(&raw.packet);

  raw_send_frames(raw.socket, &request, 1, 1);  // acks the first reply only: it has not seen the GOAWAY
  wait_for_packet(&rig, &raw);
  cr_assert_eq(raw.packet.frames[0].status.code, STATUS_OK);
  raw_packet_free(&raw.packet);
  cr_assert_eq(rig.requests, 2);
  cr_assert_not(rpc_server_idle(rig.server), "its last packets are not acked");

  raw_send_frames(raw.socket, NULL, 0, 3);
  raw_send_frames(raw.socket, &request, 1, 3);
  wait_for_packet(&rig, &raw);
  cr_assert_eq(raw.packet.frames[0].kind, RPC_FRAME_RESPONSE);
  cr_assert_eq(raw.packet.frames[0].call_id, 1);
  cr_assert_eq(raw.packet.frames[0].status.code, STATUS_UNAVAILABLE);
  raw_packet_free(&raw.packet);
  cr_assert_eq(rig.requests, 2);
  rig_stop(&rig);
}

Test(goodbye, who_connects_during_a_drain_is_told_at_once)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.without_client = true});
  rpc_server_drain(rig.server);
  rpc_server_drain(rig.server);
  struct raw_wait raw = {.socket = raw_dial(rpc_server_port(rig.server))};
  wait_for_packet(&rig, &raw);
  cr_assert_eq(raw.packet.count, 1, "and once only");
  cr_assert_eq(raw.packet.frames[0].kind, RPC_FRAME_GOAWAY);
  raw_packet_free(&raw.packet);
  rig_stop(&rig);
}

Test(goodbye, acks_alone_refuse_nothing_while_there_is_no_drain)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.without_client = true});
  struct raw_wait raw = {.socket = raw_dial(rpc_server_port(rig.server))};
  for (uint64_t i = 0; i < 3; i++) {
    raw_send_frames(raw.socket, &request, 1, i);
    wait_for_packet(&rig, &raw);
    cr_assert_eq(raw.packet.acked, i + 1);
    cr_assert_eq(raw.packet.frames[0].status.code, STATUS_OK);
    raw_packet_free(&raw.packet);
  }
  cr_assert_eq(rig.requests, 3);
  rig_stop(&rig);
}

// ---- the client's side of a drain ----

Test(goodbye, after_a_goaway_new_calls_go_elsewhere_and_old_ones_still_end)
{
  int port;
  struct raw_wait raw = {.socket = raw_listen(&port)};
  struct rig rig = {.client = rpc_client_create(&(struct rpc_client_options){0})};
  rig_set_endpoint(&rig, port);
  wait_for_packet(&rig, &raw);
  raw_answer(raw.socket, &raw.packet, NULL, 0, 1);
  raw_packet_free(&raw.packet);
  rig_until_ready(&rig, 1);
  struct outcome old, new;
  rig_call(&rig, SLICE("old"), &old);
  wait_for_packet(&rig, &raw);
  struct raw_packet first = raw.packet;
  cr_assert_gt(first.frames[0].timeout_ms, 0);
  cr_assert_eq(first.frames[0].expires_at_us, 0, "a server without a clock is told what is left");
  raw_answer(raw.socket, &first, &(struct rpc_frame){.kind = RPC_FRAME_GOAWAY}, 1, 2);
  // The ack of the GOAWAY comes at once and alone, because the server waits for it.
  wait_for_packet(&rig, &raw);
  cr_assert_eq(raw.packet.acked, 2);
  cr_assert_eq(raw.packet.count, 0);
  raw_packet_free(&raw.packet);
  cr_assert_eq(rpc_client_ready_endpoints(rig.client, "test"), 0);
  rig_call(&rig, SLICE("new"), &new);
  struct rpc_frame reply = {.call_id = first.frames[0].call_id, .kind = RPC_FRAME_RESPONSE, .payload = SLICE("late")};
  raw_answer(raw.socket, &first, &reply, 1, 3);
  rig_until_done(&rig, &old, 1);
  cr_assert_eq(old.code, STATUS_OK);
  rig_until_done(&rig, &new, 1);
  cr_assert_eq(new.code, STATUS_UNAVAILABLE);
  while (raw_receive(raw.socket, &raw.packet)) {
    cr_assert_eq(raw.packet.count, 0, "the new call was sent after all");
    raw_packet_free(&raw.packet);
  }
  raw_packet_free(&first);
  rpc_client_free(&rig.client);
}

// Turns the rig until frames have come, whichever acks come before.
static struct raw_packet wait_for_frames(struct rig *rig, struct raw_wait *raw)
{
  wait_for_packet(rig, raw);
  while (raw->packet.count == 0) {
    raw_packet_free(&raw->packet);
    wait_for_packet(rig, raw);
  }
  return raw->packet;
}

static void answer_call(nng_socket socket, const struct raw_packet *packet)
{
  const struct rpc_frame reply = {.call_id = packet->frames[0].call_id, .kind = RPC_FRAME_RESPONSE};
  raw_answer(socket, packet, &reply, 1, 3);
}

// The server asks for a new connection, and then for another one, while a call over the first is in flight.
Test(goodbye, a_server_that_asks_for_a_new_connection_gets_one_for_new_calls)
{
  static const struct rpc_frame reconnect = {
      .kind = RPC_FRAME_GOAWAY,
      .has_status = true,
      .status = {.code = STATUS_UNAVAILABLE, .reason = SLICE_INIT(RPC_RECONNECT)}};
  int port;
  struct raw_wait raw = {.socket = raw_listen(&port)};
  struct rig rig = {.client = rpc_client_create(&(struct rpc_client_options){0})};
  rig_set_endpoint(&rig, port);
  struct raw_packet probe = wait_for_frames(&rig, &raw);
  raw_answer(raw.socket, &probe, NULL, 0, 1);
  rig_until_ready(&rig, 1);
  struct outcome old, new;
  rig_call(&rig, SLICE("old"), &old);
  struct raw_packet first = wait_for_frames(&rig, &raw);
  raw_answer(raw.socket, &first, &reconnect, 1, 2);
  struct raw_packet second_probe = wait_for_frames(&rig, &raw);
  cr_assert_eq(second_probe.frames[0].call_id, 0);
  raw_answer(raw.socket, &second_probe, NULL, 0, 1);
  rig_until_ready(&rig, 1);
  rig_call(&rig, SLICE("new"), &new);
  struct raw_packet second = wait_for_frames(&rig, &raw);
  raw_answer(raw.socket, &second, &reconnect, 1, 2);
  rig_until_ready(&rig, 0);
  answer_call(raw.socket, &first);
  answer_call(raw.socket, &second);
  rig_until_done(&rig, &old, 1);
  rig_until_done(&rig, &new, 1);
  cr_expect_eq(old.code, STATUS_OK, "%s", old.message);
  cr_expect_eq(new.code, STATUS_OK, "%s", new.message);
  raw_packet_free(&probe);
  raw_packet_free(&first);
  raw_packet_free(&second_probe);
  raw_packet_free(&second);
  for (size_t i = 0; i < 20; i++)
    rig_turn(&rig);
  while (raw_receive(raw.socket, &raw.packet)) {
    cr_expect_eq(raw.packet.count, 0, "the server was dialled a third time while it ends its calls");
    raw_packet_free(&raw.packet);
  }
  rpc_client_free(&rig.client);
}

// ---- a client that does not read ----

// 32 packets in flight hold a reply or two each; those that wait have nowhere to go but the bound.
static bool was_abandoned(struct rig *rig, void *arg)
{
  (void)arg;
  return rig->requests > 32 && rpc_server_idle(rig->server);
}

Test(goodbye, a_client_that_does_not_take_its_replies_is_given_up)
{
  enum { MAX = 64 * 1024, PAYLOAD = 40 * 1024, REQUESTS = 200, BOUND = 64 + 16 * MAX / PAYLOAD + 2 };
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.max_message_bytes = MAX, .without_client = true});
  nng_socket raw = raw_dial(rpc_server_port(rig.server));
  char *bytes = calloc(1, PAYLOAD);
  struct rpc_frame large = request;
  large.payload = slice_make(bytes, PAYLOAD);
  for (size_t i = 0; i < REQUESTS; i++) {
    raw_send_frames(raw, &large, 1, 0);
    rig_turn(&rig);
  }
  rig_until(&rig, was_abandoned, NULL);
  cr_assert_leq(rig.requests, BOUND);
  // Others are served as before.
  struct raw_wait other = {.socket = raw_dial(rpc_server_port(rig.server))};
  raw_send_frames(other.socket, &request, 1, 0);
  wait_for_packet(&rig, &other);
  raw_packet_free(&other.packet);
  cr_assert_leq(rig.requests, BOUND + 1);
  // A drain waits for the other client's ack, and not for the one that was given up.
  rpc_server_drain(rig.server);
  wait_for_packet(&rig, &other);
  raw_packet_free(&other.packet);
  cr_assert_not(rpc_server_idle(rig.server));
  raw_send_frames(other.socket, NULL, 0, 2);
  rig_until(&rig, is_server_idle, NULL);
  free(bytes);
  rig_stop(&rig);
}

// ---- endpoints that are no longer listed ----

static int64_t connected_endpoints(void)
{
  return read_metric(METRIC_RPC_ENDPOINTS, &SLICE("test"), 1);
}

Test(goodbye, an_unlisted_endpoint_is_let_go_once_it_has_been_quiet)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.answering = ANSWER_LATER});
  cr_assert_eq(connected_endpoints(), 1);
  struct outcome outcome;
  rig_call(&rig, SLICE("x"), &outcome);
  rig_until_kept(&rig, 1);
  rpc_client_set_endpoints(rig.client, "test", NULL, 0);
  uint64_t begin_us = clock_now_us();
  rpc_client_process(rig.client, begin_us + 31 * UINT64_C(1000000));
  cr_assert_eq(connected_endpoints(), 1, "it has a call in flight");
  rig_reply_all(&rig);
  rig_until_done(&rig, &outcome, 1);
  cr_assert_eq(outcome.code, STATUS_OK);
  rpc_client_process(rig.client, begin_us + 62 * UINT64_C(1000000));
  cr_assert_eq(connected_endpoints(), 1, "something has come since the last look");
  rpc_client_process(rig.client, begin_us + 80 * UINT64_C(1000000));
  cr_assert_eq(connected_endpoints(), 1, "not quiet for long enough");
  rpc_client_process(rig.client, begin_us + 93 * UINT64_C(1000000));
  cr_assert_eq(connected_endpoints(), 0);
  cr_assert_eq(rpc_client_next_timeout_us(rig.client), DEADLINE_NONE, "nothing is left of it");
  cr_assert_eq(read_metric(METRIC_RPC_ENDPOINT_LOST, &SLICE("test"), 1), 0, "it was not lost");
  // Its connection is closed: a server that drains waits for nothing from it.
  rpc_server_drain(rig.server);
  rig_until(&rig, is_server_idle, NULL);
  rig_stop(&rig);
}

static void call_again(void *arg, const struct rpc_status *status, struct slice payload)
{
  struct outcome *outcome = arg;
  (void)payload;
  cr_assert_eq(status->code, STATUS_CANCELLED);
  rig_call(outcome->rig, SLICE("again"), outcome);
}

Test(goodbye, a_call_that_a_callback_starts_while_the_client_closes_ends_with_cancelled)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.answering = ANSWER_LATER});
  struct outcome outcome = {.rig = &rig};
  struct rpc_call_options options = {
      .service = "test", .method = SLICE("test.v1.Test/Echo"), .deadline_us = TEST_DEADLINE_US};
  rpc_client_call(rig.client, &options, call_again, &outcome);
  rig_until_kept(&rig, 1);
  struct rpc_client *client = rig.client;
  rpc_client_free(&client);
  rig.client = NULL;
  cr_assert(outcome.done);
  cr_assert_eq(outcome.code, STATUS_CANCELLED);
  cr_assert_not_null(strstr(outcome.message, "closing"));
  rig_stop(&rig);
}

static bool no_connected_endpoints(struct rig *rig, void *arg)
{
  (void)rig;
  (void)arg;
  return connected_endpoints() == 0;
}

Test(goodbye, an_unlisted_endpoint_is_not_dialled_again_when_its_server_goes)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){0});
  rpc_client_set_endpoints(rig.client, "test", NULL, 0);
  rpc_server_free(&rig.server);
  rig_until(&rig, no_connected_endpoints, NULL);
  cr_assert_eq(rpc_client_next_timeout_us(rig.client), DEADLINE_NONE);
  rpc_client_free(&rig.client);
}

// ---- timeouts on the wire ----

Test(goodbye, a_request_carries_what_is_left_of_its_deadline)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.answering = ANSWER_LATER});
  struct outcome outcome;
  uint64_t started_us = clock_now_us();
  uint64_t deadline_us = started_us + 100 * UINT64_C(1000000);
  rig_call_until(&rig, SLICE("x"), deadline_us, &outcome);
  rig_until_kept(&rig, 1);
  uint64_t theirs_us = rpc_request_deadline_us(rig.kept[0]);
  cr_assert_leq(theirs_us, deadline_us, "its way is held against it");
  cr_assert_gt(theirs_us, started_us + 40 * UINT64_C(1000000));
  rig_reply_all(&rig);
  rig_until_done(&rig, &outcome, 1);
  rig_stop(&rig);
}

Test(goodbye, a_call_that_waited_for_an_endpoint_carries_what_is_left_too)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.answering = ANSWER_LATER, .without_client = true});
  rig.client = rpc_client_create(&(struct rpc_client_options){0});
  struct outcome outcome;
  uint64_t started_us = clock_now_us();
  uint64_t deadline_us = started_us + 100 * UINT64_C(1000000);
  rig_call_until(&rig, SLICE("x"), deadline_us, &outcome);
  rig_set_endpoint(&rig, rpc_server_port(rig.server));
  rig_until_kept(&rig, 1);
  uint64_t theirs_us = rpc_request_deadline_us(rig.kept[0]);
  cr_assert_leq(theirs_us, deadline_us);
  cr_assert_gt(theirs_us, started_us + 40 * UINT64_C(1000000));
  rig_reply_all(&rig);
  rig_until_done(&rig, &outcome, 1);
  rig_stop(&rig);
}

// A client of an earlier version says what is left, and not when the request expires. One of ours says both.
Test(goodbye, the_earlier_of_a_requests_two_limits_holds)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.without_client = true, .answering = ANSWER_LATER});
  nng_socket raw = raw_dial(rpc_server_port(rig.server));
  uint64_t now_us = clock_now_us();
  struct rpc_frame by_clock = request, by_arrival = request;
  by_clock.timeout_ms = 600000;
  by_clock.expires_at_us = now_us + 300 * UINT64_C(1000000);
  by_arrival.call_id = 2;
  by_arrival.timeout_ms = 60000;
  by_arrival.expires_at_us = now_us + 600 * UINT64_C(1000000);
  const struct rpc_frame frames[] = {by_clock, by_arrival};
  raw_send_frames(raw, frames, 2, 0);
  rig_until_kept(&rig, 2);
  cr_assert_eq(rpc_request_deadline_us(rig.kept[0]), by_clock.expires_at_us);
  cr_assert_lt(rpc_request_deadline_us(rig.kept[1]), by_arrival.expires_at_us);
  rig_stop(&rig);
}

Test(goodbye, a_request_that_expired_on_its_way_is_not_begun)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.without_client = true});
  struct raw_wait raw = {.socket = raw_dial(rpc_server_port(rig.server))};
  struct rpc_frame late = request;
  late.timeout_ms = 60000;
  late.expires_at_us = clock_now_us() - 1;
  raw_send_frames(raw.socket, &late, 1, 0);
  wait_for_packet(&rig, &raw);
  cr_assert_eq(rig.requests, 0);
  cr_assert_eq(raw.packet.frames[0].status.code, STATUS_DEADLINE_EXCEEDED);
  cr_assert(slice_equal_string(raw.packet.frames[0].status.reason, RPC_NOT_APPLIED));
  raw_packet_free(&raw.packet);
  rig_stop(&rig);
}

Test(goodbye, a_probe_is_answered_with_the_servers_clock_and_bothers_no_handler)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.without_client = true});
  struct raw_wait raw = {.socket = raw_dial(rpc_server_port(rig.server))};
  uint64_t before_us = clock_now_us();
  raw_send_frames(raw.socket, &(struct rpc_frame){.kind = RPC_FRAME_REQUEST}, 1, 0);
  wait_for_packet(&rig, &raw);
  cr_assert_geq(raw.packet.sent_at_us, before_us);
  cr_assert_leq(raw.packet.sent_at_us, clock_now_us());
  cr_assert_eq(raw.packet.frames[0].status.code, STATUS_OK);
  cr_assert_eq(rig.requests, 0);
  raw_packet_free(&raw.packet);
  rig_stop(&rig);
}

Test(goodbye, a_request_without_a_timeout_has_no_deadline)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.without_client = true, .answering = ANSWER_LATER});
  nng_socket raw = raw_dial(rpc_server_port(rig.server));
  struct rpc_frame hurried = request;
  hurried.call_id = 2;
  hurried.timeout_ms = 5;
  const struct rpc_frame frames[] = {request, hurried};
  raw_send_frames(raw, frames, 2, 0);
  rig_until_kept(&rig, 2);
  cr_assert_eq(rpc_request_deadline_us(rig.kept[0]), DEADLINE_NONE);
  cr_assert_leq(rpc_request_deadline_us(rig.kept[1]), clock_now_us() + 5000);
  rig_stop(&rig);
}

Test(goodbye, a_request_that_names_no_method_is_refused)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.without_client = true});
  struct raw_wait raw = {.socket = raw_dial(rpc_server_port(rig.server))};
  raw_send_frames(raw.socket, &(struct rpc_frame){.call_id = 9, .kind = RPC_FRAME_REQUEST}, 1, 0);
  wait_for_packet(&rig, &raw);
  cr_assert_eq(raw.packet.frames[0].call_id, 9);
  cr_assert_eq(raw.packet.frames[0].status.code, STATUS_INVALID_ARGUMENT);
  cr_assert_eq(rig.requests, 0);
  raw_packet_free(&raw.packet);
  rig_stop(&rig);
}

// ---- cancelling ----

Test(goodbye, a_call_that_is_cancelled_while_it_waits_is_never_sent)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.without_client = true});
  rig.client = rpc_client_create(&(struct rpc_client_options){0});
  struct outcome cancelled, kept;
  rpc_call_cancel(rig_call(&rig, SLICE("cancelled"), &cancelled));
  rig_call(&rig, SLICE("kept"), &kept);
  rig_set_endpoint(&rig, rpc_server_port(rig.server));
  rig_until_done(&rig, &kept, 1);
  cr_assert_eq(kept.code, STATUS_OK);
  cr_assert_eq(rig.requests, 1);
  cr_assert_eq(rig.cancels, 0);
  cr_assert_eq(read_metric(METRIC_RPC_CLIENT_IN_FLIGHT, &SLICE("test"), 1), 0);
  rig_stop(&rig);
}

Test(goodbye, a_second_cancel_is_not_told_again_and_its_reply_is_dropped)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.without_client = true, .answering = ANSWER_LATER});
  struct raw_wait raw = {.socket = raw_dial(rpc_server_port(rig.server))};
  struct rpc_frame other = request;
  other.call_id = 2;
  const struct rpc_frame frames[] = {request,
                                     {.call_id = 1, .kind = RPC_FRAME_CANCEL},
                                     {.call_id = 1, .kind = RPC_FRAME_CANCEL},
                                     {.call_id = 7, .kind = RPC_FRAME_CANCEL},
                                     other};
  raw_send_frames(raw.socket, frames, 5, 0);
  rig_until_kept(&rig, 2);
  cr_assert_eq(rig.cancels, 1);
  rig_reply_all(&rig);
  wait_for_packet(&rig, &raw);
  cr_assert_eq(raw.packet.count, 1);
  cr_assert_eq(raw.packet.frames[0].call_id, 2);
  raw_packet_free(&raw.packet);
  rig_stop(&rig);
}
