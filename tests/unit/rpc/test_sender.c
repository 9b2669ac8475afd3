// When frames leave and when they gather: senders on a port that only counts, without a network.
#include <criterion/criterion.h>
#include <string.h>

#include "common/base/compiler.h"
#include "common/observe/metrics.h"
#include "common/rpc/packet_internal.h"
#include "common/rpc/sender_internal.h"
#include "tests/support/common/read_metric.h"

#define WINDOW_PACKETS 32

// A port and two senders that share it.
struct bench {
  struct send_port port;
  struct send_queue queue;
  struct sender sender;
  struct sender other;
  bool no_room;
  size_t packets;
  size_t empty_packets;
  size_t bytes;         // the size of the last packet
  uint64_t last_acked;  // what the last packet acked
};

static bool record_packet(struct send_port *port, const struct outbox_packet *packet, uint64_t received)
{
  struct bench *bench = CONTAINER_OF(port, struct bench, port);
  cr_assert(!port->full, "a full port is not asked again");
  if (bench->no_room)
    return false;
  bench->packets++;
  bench->empty_packets += packet->bytes.size == 0 ? 1 : 0;
  bench->bytes = packet->bytes.size;
  bench->last_acked = received;
  return true;
}

static void init_sender(struct bench *bench, struct sender *sender)
{
  const struct sender_options options = {
      .queue = &bench->queue,
      .max_in_flight = WINDOW_PACKETS,
      .packets = metrics_single(METRIC_RPC_SERVER_PACKETS),
      .frames = metrics_series(METRIC_RPC_CLIENT_FRAMES, &SLICE("test"), 1),
  };
  sender_init(sender, &options);
  sender_open(sender, &bench->port);
}

static void start(struct bench *bench)
{
  *bench = (struct bench){0};
  send_queue_init(&bench->queue);
  send_port_init(&bench->port, record_packet);
  init_sender(bench, &bench->sender);
  init_sender(bench, &bench->other);
}

static void stop(struct bench *bench)
{
  sender_free(&bench->sender);
  sender_free(&bench->other);
  cr_assert(list_empty(&bench->queue.queued) && list_empty(&bench->port.blocked));
}

static void add_frame(struct sender *sender)
{
  struct rpc_frame frame = {.call_id = 1, .kind = RPC_FRAME_RESPONSE};
  sender_add(sender, &frame);
}

static void add_frames(struct sender *sender, size_t count)
{
  for (size_t i = 0; i < count; i++)
    add_frame(sender);
}

// One frame, one turn, one packet.
static void send_in_turns(struct bench *bench, size_t turns)
{
  for (size_t i = 0; i < turns; i++) {
    add_frame(&bench->sender);
    send_queue_flush(&bench->queue);
  }
}

static void receive_packet(struct sender *sender, uint64_t acked)
{
  sender_begin_packet(sender);
  (void)sender_end_packet(sender, acked);
}

Test(sender, frames_of_a_turn_leave_together_at_its_end)
{
  struct bench bench;
  start(&bench);
  add_frames(&bench.sender, 5);
  cr_assert_eq(bench.packets, 0);
  send_queue_flush(&bench.queue);
  cr_assert_eq(bench.packets, 1);
  send_queue_flush(&bench.queue);
  cr_assert_eq(bench.packets, 1, "nothing is left");
  cr_assert_eq(read_single_metric(METRIC_RPC_SERVER_PACKETS), 1);
  cr_assert_eq(read_metric(METRIC_RPC_CLIENT_FRAMES, &SLICE("test"), 1), 5);
  stop(&bench);
}

Test(sender, a_full_packet_leaves_before_the_turn_ends)
{
  struct bench bench;
  start(&bench);
  add_frames(&bench.sender, RPC_FULL_FRAMES - 1);
  cr_assert_eq(bench.packets, 0);
  add_frame(&bench.sender);
  cr_assert_eq(bench.packets, 1);
  stop(&bench);
}

Test(sender, packets_in_flight_hold_no_frame_back)
{
  struct bench bench;
  start(&bench);
  send_in_turns(&bench, 10);
  cr_assert_eq(bench.packets, 10);
  cr_assert(sender_is_empty(&bench.sender));
  cr_assert_not(sender_is_acked(&bench.sender));
  receive_packet(&bench.sender, 10);
  cr_assert(sender_is_acked(&bench.sender));
  stop(&bench);
}

Test(sender, the_window_closes_at_its_bound_and_opens_with_an_ack)
{
  struct bench bench;
  start(&bench);
  add_frames(&bench.sender, 3 * WINDOW_PACKETS * RPC_FULL_FRAMES);
  cr_assert_eq(bench.packets, WINDOW_PACKETS);
  send_queue_flush(&bench.queue);
  cr_assert_eq(bench.packets, WINDOW_PACKETS);
  receive_packet(&bench.sender, 1);
  send_queue_flush(&bench.queue);
  cr_assert_eq(bench.packets, WINDOW_PACKETS + 1, "what gathered meanwhile is one packet");
  cr_assert(sender_is_empty(&bench.sender));
  stop(&bench);
}

Test(sender, acks_ride_on_packets_and_leave_alone_only_when_they_are_many)
{
  struct bench bench;
  start(&bench);
  for (uint64_t i = 1; i < RPC_ACK_EVERY_PACKETS; i++) {
    receive_packet(&bench.sender, 0);
    sender_queue_due_ack(&bench.sender);
  }
  send_queue_flush(&bench.queue);
  cr_assert_eq(bench.packets, 0);
  receive_packet(&bench.sender, 0);
  sender_queue_due_ack(&bench.sender);
  send_queue_flush(&bench.queue);
  cr_assert_eq(bench.empty_packets, 1);
  cr_assert_eq(bench.last_acked, RPC_ACK_EVERY_PACKETS);
  // An ack that rode on a packet starts the count again.
  receive_packet(&bench.sender, 1);
  add_frame(&bench.sender);
  send_queue_flush(&bench.queue);
  cr_assert_eq(bench.last_acked, RPC_ACK_EVERY_PACKETS + 1);
  for (uint64_t i = 1; i < RPC_ACK_EVERY_PACKETS; i++) {
    receive_packet(&bench.sender, 2);
    sender_queue_due_ack(&bench.sender);
  }
  send_queue_flush(&bench.queue);
  cr_assert_eq(bench.empty_packets, 1);
  stop(&bench);
}

Test(sender, an_ack_that_is_waited_for_leaves_at_once_but_only_with_something_to_ack)
{
  struct bench bench;
  start(&bench);
  sender_hurry_ack(&bench.sender);
  send_queue_flush(&bench.queue);
  cr_assert_eq(bench.packets, 0);
  receive_packet(&bench.sender, 0);
  sender_hurry_ack(&bench.sender);
  send_queue_flush(&bench.queue);
  cr_assert_eq(bench.empty_packets, 1);
  sender_hurry_ack(&bench.sender);
  send_queue_flush(&bench.queue);
  cr_assert_eq(bench.packets, 1, "everything is acked");
  stop(&bench);
}

Test(sender, a_due_ack_rides_on_frames_that_wait_for_the_turn_to_end)
{
  struct bench bench;
  start(&bench);
  add_frame(&bench.sender);
  receive_packet(&bench.sender, 0);
  sender_hurry_ack(&bench.sender);
  send_queue_flush(&bench.queue);
  cr_assert_eq(bench.packets, 1);
  cr_assert_eq(bench.empty_packets, 0);
  cr_assert_eq(bench.last_acked, 1);
  cr_assert(sender_is_empty(&bench.sender));
  stop(&bench);
}

Test(sender, stale_and_impossible_acks_change_nothing)
{
  struct bench bench;
  start(&bench);
  send_in_turns(&bench, 2);
  sender_begin_packet(&bench.sender);
  cr_assert_not(sender_end_packet(&bench.sender, 0));
  cr_assert_not(sender_end_packet(&bench.sender, 3), "more than was sent");
  cr_assert_not(sender_end_packet(&bench.sender, UINT64_MAX));
  cr_assert_eq(window_in_flight(&bench.sender.window), 2);
  cr_assert(sender_end_packet(&bench.sender, 2));
  cr_assert_not(sender_end_packet(&bench.sender, 2), "said again");
  cr_assert_not(sender_end_packet(&bench.sender, 1), "late");
  cr_assert(sender_is_acked(&bench.sender));
  stop(&bench);
}

Test(sender, without_room_frames_stay_and_all_senders_go_on_when_there_is_some)
{
  struct bench bench;
  start(&bench);
  bench.no_room = true;
  add_frame(&bench.sender);
  add_frames(&bench.other, 2);
  send_queue_flush(&bench.queue);
  cr_assert_eq(bench.packets, 0);
  // A full packet waits, too, while the port has no room.
  add_frames(&bench.sender, RPC_FULL_FRAMES);
  send_queue_flush(&bench.queue);
  cr_assert_eq(bench.packets, 0);
  bench.no_room = false;
  send_port_unblock(&bench.port);
  send_queue_flush(&bench.queue);
  cr_assert_eq(bench.packets, 2);
  cr_assert(sender_is_empty(&bench.sender) && sender_is_empty(&bench.other));
  stop(&bench);
}

Test(sender, an_ack_without_room_leaves_later)
{
  struct bench bench;
  start(&bench);
  receive_packet(&bench.sender, 0);
  bench.no_room = true;
  sender_hurry_ack(&bench.sender);
  send_queue_flush(&bench.queue);
  bench.no_room = false;
  send_port_unblock(&bench.port);
  send_queue_flush(&bench.queue);
  cr_assert_eq(bench.empty_packets, 1);
  cr_assert_eq(bench.last_acked, 1);
  stop(&bench);
}

Test(sender, closing_drops_what_is_unsent_and_opening_counts_from_the_beginning)
{
  struct bench bench;
  start(&bench);
  send_in_turns(&bench, 1);
  receive_packet(&bench.sender, 0);
  add_frame(&bench.sender);
  sender_close(&bench.sender);
  cr_assert(sender_is_empty(&bench.sender));
  send_queue_flush(&bench.queue);
  cr_assert_eq(bench.packets, 1, "what was unsent is dropped");
  cr_assert_eq(bench.sender.window.received, 1, "still readable");
  add_frame(&bench.sender);
  add_frames(&bench.sender, RPC_FULL_FRAMES);
  sender_add_with_timeout(&bench.sender, SLICE("\x08\x01"), 5, 0);
  cr_assert(sender_is_empty(&bench.sender), "a closed sender takes no frames");
  sender_flush(&bench.sender);
  size_t before = bench.packets;
  sender_open(&bench.sender, &bench.port);
  send_queue_flush(&bench.queue);
  cr_assert_eq(bench.packets, before);
  add_frame(&bench.sender);
  send_queue_flush(&bench.queue);
  cr_assert_eq(bench.packets, before + 1);
  cr_assert_eq(bench.last_acked, 0, "counts begin with the connection");
  stop(&bench);
}
