// Peers that are slow, silent or hostile.
#include <criterion/criterion.h>
#include <nng/nng.h>
#include <stdlib.h>
#include <string.h>

#include "common/rpc/client_internal.h"
#include "common/rpc/outbox_internal.h"
#include "common/rpc/packet_internal.h"
#include "tests/support/common/read_metric.h"
#include "tests/unit/rpc/harness.h"
#include "tests/unit/rpc/raw_peer.h"

// Far more packets than the window allows to be in flight (32).
Test(pressure, a_client_that_does_not_read_for_a_while_loses_nothing)
{
  enum { CALLS = 100000 };
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.max_calls_in_flight = CALLS, .answering = ANSWER_LATER});
  struct outcome *outcomes = calloc(CALLS, sizeof(*outcomes));
  for (uint32_t i = 0; i < CALLS; i++)
    rig_call(&rig, slice_make(&i, sizeof(i)), &outcomes[i]);
  rig_until_kept(&rig, CALLS);
  rig.client_stopped = true;
  int64_t before = read_single_metric(METRIC_RPC_SERVER_PACKETS);
  // Many small turns: each would make a packet of its own.
  while (rig.kept_count != 0) {
    for (size_t i = 0; i < 500 && rig.kept_count != 0; i++)
      rig_reply(&rig, 0);
    rpc_server_flush(rig.server);
  }
  cr_assert_leq(read_single_metric(METRIC_RPC_SERVER_PACKETS) - before, 32, "the window is kept");
  cr_assert(!rpc_server_idle(rig.server));
  rig.client_stopped = false;
  rig_until_done(&rig, outcomes, CALLS);
  for (uint32_t i = 0; i < CALLS; i++) {
    uint32_t got;
    memcpy(&got, outcomes[i].payload, sizeof(got));
    cr_assert_eq(outcomes[i].code, STATUS_OK);
    cr_assert_eq(got, i);
  }
  cr_assert(rpc_server_idle(rig.server));
  free(outcomes);
  rig_stop(&rig);
}

static int64_t packets_sent(void)
{
  return read_metric(METRIC_RPC_CLIENT_PACKETS, &SLICE("test"), 1);
}

// A call a turn: each makes a packet of its own.
static void call_in_turns_of_their_own(struct rig *rig, struct outcome *outcomes, size_t count)
{
  for (size_t i = 0; i < count; i++) {
    rig_call(rig, SLICE("x"), &outcomes[i]);
    rpc_client_flush(rig->client);
  }
}

Test(pressure, no_turn_waits_for_the_packets_of_another)
{
  enum { CALLS = 100 };
  struct rig rig;
  rig_start(&rig, &(struct rig_options){0});
  static struct outcome outcomes[CALLS];
  rig.server_stopped = true;
  int64_t before = packets_sent();
  call_in_turns_of_their_own(&rig, outcomes, CALLS);
  cr_assert_eq(packets_sent() - before, CALLS);
  rig.server_stopped = false;
  rig_until_done(&rig, outcomes, CALLS);
  rig_stop(&rig);
}

Test(pressure, a_full_packet_waits_for_nothing)
{
  enum { CALLS = 10 * RPC_FULL_FRAMES };
  struct rig rig;
  rig_start(&rig, &(struct rig_options){0});
  static struct outcome outcomes[CALLS];
  rig.server_stopped = true;
  int64_t before = packets_sent();
  for (size_t i = 0; i < CALLS; i++)
    rig_call(&rig, SLICE("x"), &outcomes[i]);
  cr_assert_eq(packets_sent() - before, 10, "not even for the end of the turn");
  rig.server_stopped = false;
  rig_until_done(&rig, outcomes, CALLS);
  rig_stop(&rig);
}

// A packet over the cap of the other side ends the connection.
Test(pressure, no_packet_exceeds_a_cap_that_its_requests_and_replies_keep)
{
  enum { CALLS = 100, CAP = 4096 };
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.max_message_bytes = CAP, .answering = ANSWER_LATER});
  static struct outcome outcomes[CALLS];
  char bytes[CAP / 4] = {0};
  for (size_t i = 0; i < CALLS; i++)
    rig_call(&rig, slice_make(bytes, sizeof(bytes)), &outcomes[i]);
  rig_until_kept(&rig, CALLS);
  rig_reply_all(&rig);
  rig_until_done(&rig, outcomes, CALLS);
  for (size_t i = 0; i < CALLS; i++)
    cr_assert_eq(outcomes[i].code, STATUS_OK);
  rig_stop(&rig);
}

Test(pressure, calls_do_not_wait_for_the_replies_of_others)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.answering = ANSWER_LATER});
  static struct outcome outcomes[100];
  call_in_turns_of_their_own(&rig, outcomes, 100);
  rig_until_kept(&rig, 100);
  rig_reply_all(&rig);
  rig_until_done(&rig, outcomes, 100);
  rig_stop(&rig);
}

Test(pressure, a_server_that_does_not_read_for_a_while_loses_nothing)
{
  enum { TURNS = 2000 };
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.max_unsent_bytes = SIZE_MAX});
  struct outcome *outcomes = calloc(TURNS, sizeof(*outcomes));
  char *bytes = calloc(1, 20000);
  rig.server_stopped = true;
  // One packet a turn, until the network's buffers are full.
  for (size_t i = 0; i < TURNS; i++) {
    rig_call(&rig, slice_make(bytes, 20000), &outcomes[i]);
    rpc_client_process(rig.client, clock_now_us());
    rpc_client_flush(rig.client);
  }
  rig.server_stopped = false;
  rig_until_done(&rig, outcomes, TURNS);
  for (size_t i = 0; i < TURNS; i++) {
    cr_assert_eq(outcomes[i].code, STATUS_OK);
    cr_assert_eq(outcomes[i].payload_size, 20000);
  }
  free(bytes);
  free(outcomes);
  rig_stop(&rig);
}

// ---- what waits to be sent ----

enum { BOUND = 1000000, HEAVY_BYTES = 20000, HEAVY_CALLS = 2000 };

// Makes calls with large requests, a turn each.
static void call_heavily(struct rig *rig, struct outcome *outcomes, size_t count)
{
  char *bytes = calloc(1, HEAVY_BYTES);
  for (size_t i = 0; i < count; i++) {
    rig_call(rig, slice_make(bytes, HEAVY_BYTES), &outcomes[i]);
    rpc_client_process(rig->client, clock_now_us());
    rpc_client_flush(rig->client);
  }
  free(bytes);
}

static size_t count_ended(const struct outcome *outcomes, size_t count)
{
  size_t ended = 0;
  for (size_t i = 0; i < count; i++)
    ended += outcomes[i].done ? 1 : 0;
  return ended;
}

Test(pressure, a_server_that_hangs_costs_its_client_no_more_than_a_bound)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.max_unsent_bytes = BOUND});
  struct outcome *outcomes = calloc(HEAVY_CALLS, sizeof(*outcomes));
  rig.server_stopped = true;
  call_heavily(&rig, outcomes, HEAVY_CALLS);
  const struct endpoint *endpoint = CONTAINER_OF(rig.client->endpoints.members.next, struct endpoint, node);
  cr_assert_lt(sender_unsent_bytes(&endpoint->sender), BOUND + 2 * HEAVY_BYTES);
  size_t refused = count_ended(outcomes, HEAVY_CALLS);
  cr_assert_gt(refused, 100, "the network takes some megabytes, and not 40");
  for (size_t i = 0; i < HEAVY_CALLS; i++) {
    if (!outcomes[i].done)
      continue;
    cr_assert_eq(outcomes[i].code, STATUS_RESOURCE_EXHAUSTED);
    cr_assert_str_eq(outcomes[i].reason, RPC_NOT_APPLIED);
  }
  // All others are served once the server goes on, and new ones, too.
  rig.server_stopped = false;
  rig_until_done(&rig, outcomes, HEAVY_CALLS);
  cr_assert_eq(rig.requests, HEAVY_CALLS - refused);
  struct outcome later;
  rig_call(&rig, SLICE("x"), &later);
  rig_until_done(&rig, &later, 1);
  cr_assert_eq(later.code, STATUS_OK);
  free(outcomes);
  rig_stop(&rig);
}

static size_t sum_unsent(const struct rpc_client *client)
{
  size_t sum = 0;
  const struct list *members = &client->endpoints.members;
  for (const struct list *node = members->next; node != members; node = node->next)
    sum += sender_unsent_bytes(&CONTAINER_OF(node, struct endpoint, node)->sender);
  return sum;
}

Test(pressure, many_servers_that_hang_cost_their_client_no_more_than_twice_the_bound_of_one)
{
  enum { SERVERS = 6 };
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.max_unsent_bytes = BOUND});
  struct rpc_endpoint endpoints[SERVERS];
  char ids[SERVERS][8];
  for (size_t i = 0; i < SERVERS; i++) {
    snprintf(ids[i], sizeof(ids[i]), "%zu", i);
    endpoints[i] = (struct rpc_endpoint){.id = slice_from_string(ids[i]), .url = slice_from_string(rig_url(&rig))};
  }
  rpc_client_set_endpoints(rig.client, "test", endpoints, SERVERS);
  rig_until_ready(&rig, SERVERS);
  struct outcome *outcomes = calloc(SERVERS * HEAVY_CALLS, sizeof(*outcomes));
  rig.server_stopped = true;
  call_heavily(&rig, outcomes, SERVERS * HEAVY_CALLS);
  cr_assert_gt(count_ended(outcomes, SERVERS * HEAVY_CALLS), 100);
  cr_expect_lt(sum_unsent(rig.client), 2 * BOUND + SERVERS * HEAVY_BYTES);
  cr_expect_gt(sum_unsent(rig.client), BOUND);
  rig.server_stopped = false;
  rig_until_done(&rig, outcomes, SERVERS * HEAVY_CALLS);
  struct outcome later;
  rig_call(&rig, SLICE("x"), &later);
  rig_until_done(&rig, &later, 1);
  cr_assert_eq(later.code, STATUS_OK);
  free(outcomes);
  rig_stop(&rig);
}

Test(pressure, calls_that_end_make_room_in_what_waits_to_be_sent)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.max_unsent_bytes = BOUND});
  struct outcome *outcomes = calloc(HEAVY_CALLS, sizeof(*outcomes));
  rig.server_stopped = true;
  call_heavily(&rig, outcomes, HEAVY_CALLS);
  struct outcome refused;
  rig_call(&rig, SLICE("x"), &refused);
  rpc_client_process(rig.client, clock_now_us());
  cr_assert_eq(refused.code, STATUS_RESOURCE_EXHAUSTED);
  struct list *attempts = &CONTAINER_OF(rig.client->endpoints.members.next, struct endpoint, node)->attempts;
  while (!list_empty(attempts))
    rpc_call_cancel(CONTAINER_OF(attempts->next, struct rpc_attempt, node)->call);
  struct outcome taken;
  rig_call(&rig, SLICE("x"), &taken);
  rig.server_stopped = false;
  rig_until_done(&rig, &taken, 1);
  cr_assert_eq(taken.code, STATUS_OK);
  free(outcomes);
  rig_stop(&rig);
}

static bool malformed_counted(struct rig *rig, void *arg)
{
  (void)rig;
  return read_single_metric(METRIC_RPC_MALFORMED) >= *(int64_t *)arg;
}

Test(pressure, garbage_is_dropped_and_counted_and_others_are_served)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){0});
  nng_socket raw = raw_dial(rpc_server_port(rig.server));
  raw_send(raw, SLICE("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"));  // a tag without an end
  raw_send(raw, SLICE("\x0a\x7f\x08"));                                  // a frame longer than the packet
  raw_send(raw, SLICE("\x0a\x02\x1a\x05"));                              // a method longer than its frame
  raw_send(raw, SLICE("\x0a\x07\x08\x01\x10\x01\x1a\x01\xff"));          // a method that is not UTF-8
  raw_send(raw, SLICE("\x0a\x04\x08\x01\x10\x63"));                      // an unknown kind
  raw_send(raw, SLICE("\x0b"));                                          // a group
  int64_t six = 6;
  rig_until(&rig, malformed_counted, &six);
  cr_assert_eq(read_single_metric(METRIC_RPC_MALFORMED), 6);
  cr_assert_eq(rig.requests, 0);
  struct outcome outcome;
  rig_call(&rig, SLICE("still here"), &outcome);
  rig_until_done(&rig, &outcome, 1);
  cr_assert_eq(outcome.code, STATUS_OK);
  rig_stop(&rig);
}

Test(pressure, a_message_over_the_cap_closes_only_its_connection)
{
  enum { MAX = 64 * 1024 };
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.max_message_bytes = MAX});
  nng_socket raw = raw_dial(rpc_server_port(rig.server));
  char *bytes = calloc(1, 2 * MAX);
  raw_send(raw, slice_make(bytes, 2 * MAX));
  struct outcome outcome;
  rig_call(&rig, SLICE("still here"), &outcome);
  rig_until_done(&rig, &outcome, 1);
  cr_assert_eq(outcome.code, STATUS_OK);
  free(bytes);
  rig_stop(&rig);
}

static bool got_requests(struct rig *rig, void *arg)
{
  return rig->requests >= *(size_t *)arg;
}

Test(pressure, foreign_cancels_doubled_ids_and_false_acknowledgements_do_no_harm)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.answering = ANSWER_LATER});
  struct outcome outcome;
  rig_call(&rig, SLICE("honest"), &outcome);
  rig_until_kept(&rig, 1);
  nng_socket raw = raw_dial(rpc_server_port(rig.server));
  struct rpc_frame frames[12];
  // These are guesses at the honest client's call id (its first), then two requests of the same id.
  for (size_t i = 0; i < 10; i++)
    frames[i] = (struct rpc_frame){.call_id = (UINT64_C(1) << 24) + i, .kind = RPC_FRAME_CANCEL};
  frames[10] = (struct rpc_frame){.call_id = 7, .kind = RPC_FRAME_REQUEST, .method = SLICE("a/b")};
  frames[11] = frames[10];
  raw_send_frames(raw, frames, 12, UINT64_MAX);
  size_t three = 3;
  rig_until(&rig, got_requests, &three);
  cr_assert_eq(rig.cancels, 0);
  rig_reply_all(&rig);
  rig_until_done(&rig, &outcome, 1);
  cr_assert_eq(outcome.code, STATUS_OK);
  cr_assert_arr_eq(outcome.payload, "honest", 6);
  rig_stop(&rig);
}

Test(pressure, a_request_beyond_the_servers_limit_is_told_to_come_later)
{
  struct rig rig;
  rig_start(&rig, &(struct rig_options){.max_calls_in_flight = 2, .answering = ANSWER_LATER});
  nng_socket raw = raw_dial(rpc_server_port(rig.server));
  struct rpc_frame frames[3];
  for (size_t i = 0; i < 3; i++)
    frames[i] = (struct rpc_frame){.call_id = i + 1, .kind = RPC_FRAME_REQUEST, .method = SLICE("a/b")};
  raw_send_frames(raw, frames, 3, 0);
  rig_until_kept(&rig, 2);
  rig_turn(&rig);
  struct raw_packet packet;
  uint64_t end_us = clock_now_us() + 60 * UINT64_C(1000000);
  while (!raw_receive(raw, &packet)) {
    rig_turn(&rig);
    cr_assert_lt(clock_now_us(), end_us, "no reply within a minute");
  }
  cr_assert_eq(packet.count, 1);
  cr_assert_eq(packet.frames[0].call_id, 3);
  cr_assert_eq(packet.frames[0].status.code, STATUS_RESOURCE_EXHAUSTED);
  cr_assert_gt(packet.frames[0].status.retry_after_ms, 0);
  cr_assert_eq(rig.requests, 2);
  raw_packet_free(&packet);
  rig_stop(&rig);
}

struct raw_probe {
  nng_socket socket;
  struct raw_packet packet;
};

static bool raw_has_packet(struct rig *rig, void *arg)
{
  struct raw_probe *probe = arg;
  (void)rig;
  return raw_receive(probe->socket, &probe->packet);
}

// Plays a server that answers with nonsense.
Test(pressure, the_client_survives_a_server_that_talks_nonsense)
{
  int port = 0;
  nng_socket raw = raw_listen(&port);
  struct rig rig = {.client = rpc_client_create(&(struct rpc_client_options){0})};
  rig_set_endpoint(&rig, port);
  struct raw_probe probe = {.socket = raw};
  rig_until(&rig, raw_has_packet, &probe);
  raw_answer(raw, &probe.packet, NULL, 0, 1);
  raw_packet_free(&probe.packet);
  rig_until_ready(&rig, 1);
  struct outcome outcome;
  rig_call(&rig, SLICE("x"), &outcome);
  rpc_client_flush(rig.client);
  nng_msg *message;
  cr_assert_eq(nng_recvmsg(raw, &message, 0), 0);
  struct rpc_packet_reader reader = rpc_packet_reader_make(slice_make(nng_msg_body(message), nng_msg_len(message)));
  struct slice bytes;
  cr_assert_eq(rpc_packet_next(&reader, &bytes), WIRE_FIELD);
  struct arena arena = {0};
  struct rpc_frame request;
  cr_assert(rpc_frame_decode(bytes, &arena, &request));
  // Nonsense, an answer to a call that never was, one to another use of the same place, then the true one twice.
  struct strbuf packet;
  strbuf_init(&packet, 0);
  strbuf_add(&packet, SLICE("\x0a\x02\x1a\x05"));
  uint64_t ids[] = {12345, request.call_id + (UINT64_C(1) << 24), request.call_id, request.call_id};
  for (size_t i = 0; i < 4; i++) {
    struct rpc_frame frame = {.call_id = ids[i],
                              .kind = RPC_FRAME_RESPONSE,
                              .payload = ids[i] == request.call_id ? SLICE("true") : SLICE("false")};
    rpc_frame_append(&packet, &frame);
  }
  nng_msg_clear(message);
  cr_assert_eq(nng_msg_append(message, packet.data, packet.size), 0);
  cr_assert_eq(nng_sendmsg(raw, message, 0), 0);
  rig_until_done(&rig, &outcome, 1);
  cr_assert_eq(outcome.code, STATUS_OK);
  cr_assert_arr_eq(outcome.payload, "true", 4);
  cr_assert_eq(read_single_metric(METRIC_RPC_MALFORMED), 1);
  strbuf_free(&packet);
  arena_free(&arena);
  rig_stop(&rig);
}

static bool is_server_idle(struct rig *rig, void *arg)
{
  (void)arg;
  return rpc_server_idle(rig->server);
}

// Its requests are more than the network's buffers hold, so that many packets wait in it when the GOAWAY comes.
Test(pressure, requests_that_waited_in_the_client_when_the_goaway_came_are_served)
{
  enum { CALLS = 5, PAYLOAD = 5 * 1024 * 1024 };
  struct rig rig;
  static struct outcome outcomes[CALLS];
  char *bytes = calloc(1, PAYLOAD);
  rig_start(&rig, &(struct rig_options){.answering = ANSWER_LATER});
  rig.server_stopped = true;
  for (size_t i = 0; i < CALLS; i++) {
    rig_call(&rig, slice_make(bytes, PAYLOAD), &outcomes[i]);
    rig_turn(&rig);
  }
  rpc_server_drain(rig.server);
  rpc_server_flush(rig.server);
  rig_until_ready(&rig, 0);
  rig.server_stopped = false;
  rig_until_kept(&rig, CALLS);
  rig_reply_all(&rig);
  rig_until_done(&rig, outcomes, CALLS);
  for (size_t i = 0; i < CALLS; i++)
    cr_expect_eq(outcomes[i].code, STATUS_OK, "%zu: %s", i, outcomes[i].message);
  rig_until(&rig, is_server_idle, NULL);
  free(bytes);
  rig_stop(&rig);
}
