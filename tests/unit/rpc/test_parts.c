// The small parts by themselves: call table, connection, outbox.
#include <criterion/criterion.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/rpc/call_table_internal.h"
#include "common/rpc/connection_internal.h"
#include "common/rpc/outbox_internal.h"

Test(call_table, an_old_id_finds_nothing_though_its_place_is_used_again)
{
  struct call_table table = {0};
  struct rpc_call *first = call_table_take(&table);
  first->state = CALL_IN_FLIGHT;
  uint64_t id = first->id;
  cr_assert_neq(id, 0);
  cr_assert_eq(call_table_find(&table, id), first);
  call_table_release(&table, first);
  cr_assert_null(call_table_find(&table, id));
  struct rpc_call *second = call_table_take(&table);
  second->state = CALL_WAITING;
  cr_assert_eq(second, first, "the place is used again");
  cr_assert_null(call_table_find(&table, id));
  cr_assert_eq(call_table_find(&table, second->id), second);
  cr_assert_null(call_table_find(&table, 0));
  cr_assert_null(call_table_find(&table, UINT64_MAX));
  call_table_release(&table, second);
  call_table_free(&table);
}

// Ids come back from the network, so they may be anything.
Test(call_table, ids_of_places_that_are_free_or_do_not_exist_find_nothing)
{
  struct call_table table = {0};
  struct rpc_call *call = call_table_take(&table);
  call->state = CALL_IN_FLIGHT;
  for (uint64_t i = 1; i <= 4 * CALLS_PER_CHUNK; i++)
    cr_assert_null(call_table_find(&table, call->id + i), "%d places further", (int)i);
  cr_assert_eq(call_table_find(&table, call->id), call);
  call_table_release(&table, call);
  call_table_free(&table);
}

Test(call_table, holds_many_and_gives_each_its_own_id)
{
  enum { CALLS = 5000 };
  struct call_table table = {0};
  static struct rpc_call *calls[CALLS];
  for (size_t i = 0; i < CALLS; i++) {
    calls[i] = call_table_take(&table);
    calls[i]->state = CALL_IN_FLIGHT;
  }
  cr_assert_eq(table.count, CALLS);
  for (size_t i = 0; i < CALLS; i++)
    cr_assert_eq(call_table_find(&table, calls[i]->id), calls[i]);
  size_t found = 0;
  struct rpc_call *call;
  while ((call = call_table_any(&table)) != NULL) {
    call_table_release(&table, call);
    found++;
  }
  cr_assert_eq(found, CALLS);
  call_table_free(&table);
}

// A connection to nowhere: what it sends stays where it is.
static bool transmit_nothing(struct send_port *port, const struct outbox_packet *packet, uint64_t received)
{
  (void)port;
  (void)packet;
  (void)received;
  return false;
}

Test(connection, one_that_is_given_up_holds_no_replies_any_more)
{
  struct send_queue queue;
  struct send_port port;
  struct rpc_frame reply = {.call_id = 1, .kind = RPC_FRAME_RESPONSE, .payload = SLICE("unread")};
  send_queue_init(&queue);
  send_port_init(&port, transmit_nothing);
  struct connection connection = {.state = CONNECTION_OPEN};
  sender_init(&connection.sender, &(struct sender_options){.queue = &queue, .max_in_flight = 1});
  sender_open(&connection.sender, &port);
  sender_add(&connection.sender, &reply);
  cr_assert_gt(sender_unsent_bytes(&connection.sender), 0);
  connection_abandon(&connection);
  cr_assert_eq(sender_unsent_bytes(&connection.sender), 0);
  sender_add(&connection.sender, &reply);
  cr_assert_eq(sender_unsent_bytes(&connection.sender), 0, "later replies are dropped");
  cr_assert(connection_is_idle(&connection, true), "a drain waits for no ack of it");
  sender_free(&connection.sender);
}

static void add_payload(struct outbox *outbox, uint64_t id, size_t size)
{
  char *bytes = calloc(1, size + 1);
  struct rpc_frame frame = {.call_id = id, .kind = RPC_FRAME_RESPONSE, .payload = slice_make(bytes, size)};
  outbox_add(outbox, &frame, 0);
  free(bytes);
}

// Reads the call ids of a packet, in order.
static size_t ids_of(struct outbox_packet packet, uint64_t *ids, size_t max)
{
  struct rpc_packet_reader reader = rpc_packet_reader_make(packet.bytes);
  struct arena arena = {0};
  struct slice bytes;
  size_t count = 0;
  while (rpc_packet_next(&reader, &bytes) == WIRE_FIELD && count < max) {
    struct rpc_frame frame;
    cr_assert(rpc_frame_decode(bytes, &arena, &frame));
    ids[count++] = frame.call_id;
  }
  arena_free(&arena);
  return count;
}

Test(outbox, small_frames_leave_together_and_large_ones_alone)
{
  struct outbox outbox = {0};
  add_payload(&outbox, 1, 10);
  add_payload(&outbox, 2, 10);
  add_payload(&outbox, 3, 100 * 1024);
  add_payload(&outbox, 4, 10);
  uint64_t ids[8];
  struct outbox_packet packet = outbox_peek(&outbox);
  cr_assert_eq(packet.frame_count, 2);
  cr_assert_eq(ids_of(packet, ids, 8), 2);
  cr_assert_eq(ids[1], 2);
  outbox_remove(&outbox, packet);
  packet = outbox_peek(&outbox);
  cr_assert_eq(packet.frame_count, 1);
  cr_assert_eq(ids_of(packet, ids, 8), 1);
  cr_assert_eq(ids[0], 3);
  outbox_remove(&outbox, packet);
  packet = outbox_peek(&outbox);
  cr_assert_eq(ids_of(packet, ids, 8), 1);
  cr_assert_eq(ids[0], 4);
  outbox_remove(&outbox, packet);
  cr_assert_eq(outbox_bytes(&outbox), 0);
  outbox_free(&outbox);
}

Test(outbox, many_frames_are_cut_into_packets_in_order)
{
  struct outbox outbox = {0};
  enum { FRAMES = 1000 };
  uint64_t next = 1;
  for (uint64_t i = 1; i <= FRAMES; i++)
    add_payload(&outbox, i, 2000);
  static uint64_t ids[FRAMES];
  while (outbox_bytes(&outbox) != 0) {
    struct outbox_packet packet = outbox_peek(&outbox);
    cr_assert_leq(packet.bytes.size, RPC_PACKET_BYTES);
    size_t count = ids_of(packet, ids, FRAMES);
    cr_assert_eq(count, packet.frame_count);
    for (size_t i = 0; i < count; i++)
      cr_assert_eq(ids[i], next++);
    outbox_remove(&outbox, packet);
  }
  cr_assert_eq(next, FRAMES + 1);
  outbox_free(&outbox);
}

// Calls come with a body that was encoded before; replies as frames. Both fill a packet.
Test(outbox, a_packet_is_full_with_so_many_frames_of_either_kind)
{
  struct outbox outbox = {0};
  struct strbuf body = {0};
  rpc_frame_append_body(&body, &(struct rpc_frame){.call_id = 1, .kind = RPC_FRAME_REQUEST});
  for (size_t i = 1; i < RPC_FULL_FRAMES; i++) {
    if (i % 2 == 0)
      add_payload(&outbox, i, 1);
    else
      outbox_add_with_timeout(&outbox, strbuf_slice(&body), 1000, 0);
    cr_assert_not(outbox_is_full(&outbox), "with %zu frames", i);
  }
  add_payload(&outbox, RPC_FULL_FRAMES, 1);
  cr_assert(outbox_is_full(&outbox));
  outbox_remove(&outbox, outbox_peek(&outbox));
  cr_assert_not(outbox_is_full(&outbox), "frames that were sent count no more");
  strbuf_free(&body);
  outbox_free(&outbox);
}

Test(outbox, one_large_frame_fills_a_packet)
{
  struct outbox outbox = {0};
  add_payload(&outbox, 1, RPC_LARGE_FRAME_BYTES);
  cr_assert(outbox_is_full(&outbox));
  outbox_clear(&outbox);
  cr_assert_not(outbox_is_full(&outbox));
  cr_assert_eq(outbox_bytes(&outbox), 0);
  outbox_free(&outbox);
}

#define OWNER 7

// Adds a frame with a payload of its own, and returns where that lies.
static const char *add_buffer(struct outbox *outbox, uint64_t id, size_t size)
{
  struct strbuf buffer;
  strbuf_init(&buffer, 0);
  memset(strbuf_reserve(&buffer, size), 'x', size);
  buffer.size = size;
  const char *data = buffer.data;
  struct rpc_frame frame = {
      .call_id = id, .kind = RPC_FRAME_RESPONSE, .payload = strbuf_slice(&buffer), .buffer = &buffer};
  outbox_add(outbox, &frame, OWNER);
  cr_assert_null(buffer.data);
  return data;
}

// Expects a packet of one frame with that payload.
static void expect_payload(const struct outbox_packet *packet, uint64_t id, const char *data, size_t size)
{
  struct arena arena = {0};
  struct strbuf whole;
  strbuf_init(&whole, 0);
  strbuf_add(&whole, packet->bytes);
  strbuf_add(&whole, slice_make(packet->payload.data, packet->payload.size));
  struct rpc_packet_reader reader = rpc_packet_reader_make(strbuf_slice(&whole));
  struct slice bytes;
  struct rpc_frame frame;
  cr_assert_eq(packet->payload.data, data, "it was not copied");
  cr_assert_eq(packet->frame_count, 1);
  cr_assert_eq(rpc_packet_next(&reader, &bytes), WIRE_FIELD);
  cr_assert(rpc_frame_decode(bytes, &arena, &frame));
  cr_assert_eq(frame.call_id, id);
  cr_assert(slice_equal(frame.payload, slice_make(data, size)));
  cr_assert_eq(rpc_packet_next(&reader, &bytes), WIRE_END);
  strbuf_free(&whole);
  arena_free(&arena);
}

Test(outbox, a_large_payload_in_a_buffer_leaves_alone_and_is_not_copied)
{
  enum { SIZE = 3 * 1000 * 1000 };
  struct outbox outbox = {0};
  add_payload(&outbox, 1, 10);
  const char *data = add_buffer(&outbox, 2, SIZE);
  add_payload(&outbox, 3, 10);
  cr_assert_gt(outbox_bytes(&outbox), SIZE);
  cr_assert_gt(outbox.owned_bytes[OWNER], SIZE);
  struct outbox_packet packet = outbox_peek(&outbox);
  cr_assert_eq(packet.frame_count, 1);
  cr_assert_null(packet.payload.data);
  outbox_remove(&outbox, packet);
  packet = outbox_peek(&outbox);
  expect_payload(&packet, 2, data, SIZE);
  outbox_remove(&outbox, packet);
  free(packet.payload.data);
  cr_assert_eq(outbox.owned_bytes[OWNER], 0);
  uint64_t id;
  cr_assert_eq(ids_of(outbox_peek(&outbox), &id, 1), 1);
  cr_assert_eq(id, 3);
  outbox_free(&outbox);
}

Test(outbox, payloads_that_do_not_leave_are_freed)
{
  enum { SIZE = 100 * 1000 };
  struct outbox outbox = {0};
  add_payload(&outbox, 1, 10);
  (void)add_buffer(&outbox, 2, SIZE);
  const char *data = add_buffer(&outbox, 3, SIZE);
  (void)add_buffer(&outbox, 4, SIZE);
  cr_assert(outbox_drop(&outbox, 0));
  cr_assert(outbox_drop(&outbox, 1));
  cr_assert_lt(outbox_bytes(&outbox), 2 * SIZE + 100);
  struct outbox_packet packet = outbox_peek(&outbox);
  expect_payload(&packet, 3, data, SIZE);
  cr_assert(outbox_drop(&outbox, 2));
  cr_assert_lt(outbox.owned_bytes[OWNER], SIZE + 100);
  outbox_clear(&outbox);
  cr_assert_eq(outbox_bytes(&outbox), 0);
  cr_assert_eq(outbox.owned_bytes[OWNER], 0);
  outbox_free(&outbox);
}

Test(outbox, a_small_payload_in_a_buffer_is_copied_and_shares_a_packet)
{
  struct outbox outbox = {0};
  struct strbuf buffer;
  strbuf_init(&buffer, 0);
  strbuf_add_string(&buffer, "small");
  struct rpc_frame frame = {.call_id = 1, .payload = strbuf_slice(&buffer), .buffer = &buffer};
  outbox_add(&outbox, &frame, 0);
  add_payload(&outbox, 2, 10);
  cr_assert_not_null(buffer.data);
  cr_assert_eq(outbox_peek(&outbox).frame_count, 2);
  strbuf_free(&buffer);
  outbox_free(&outbox);
}

// A stalled peer can make an outbox grow; its memory must not stay with every connection afterwards.
Test(outbox, memory_of_a_long_backlog_is_given_back_when_it_was_sent)
{
  struct outbox outbox = {0};
  for (uint64_t i = 1; i <= 20; i++)
    add_payload(&outbox, i, RPC_PACKET_BYTES / 2);
  cr_assert_gt(outbox.frames.capacity, 4 * RPC_PACKET_BYTES);
  while (outbox_bytes(&outbox) != 0)
    outbox_remove(&outbox, outbox_peek(&outbox));
  cr_assert_eq(outbox.frames.capacity, 0);

  add_payload(&outbox, 1, 100);
  outbox_remove(&outbox, outbox_peek(&outbox));
  cr_assert_neq(outbox.frames.capacity, 0, "a short one keeps its memory for the next frames");
  outbox_free(&outbox);
}

// Takes all packets out and returns the ids of their frames.
static size_t take_ids(struct outbox *outbox, uint64_t *ids, size_t max)
{
  size_t count = 0;
  while (outbox_count(outbox) != 0) {
    struct outbox_packet packet = outbox_peek(outbox);
    size_t taken = ids_of(packet, ids + count, max - count);
    cr_assert_eq(taken, packet.frame_count);
    count += taken;
    outbox_remove(outbox, packet);
  }
  cr_assert_eq(outbox_bytes(outbox), 0);
  return count;
}

Test(outbox, a_dropped_frame_never_leaves_and_the_others_keep_their_order)
{
  struct outbox outbox = {0};
  for (uint64_t id = 0; id < 100; id++) {
    cr_assert_eq(outbox_add(&outbox, &(struct rpc_frame){.call_id = id + 1, .kind = RPC_FRAME_CANCEL}, 0), id);
  }
  size_t bytes = outbox_bytes(&outbox);
  // The first, the last, and every third.
  for (uint64_t number = 0; number < 100; number += 3)
    cr_assert(outbox_drop(&outbox, number));
  cr_assert_eq(outbox_count(&outbox), 66);
  cr_assert_lt(outbox_bytes(&outbox), bytes);
  uint64_t ids[100];
  cr_assert_eq(take_ids(&outbox, ids, 100), 66);
  for (uint64_t i = 0; i < 66; i++)
    cr_assert_eq(ids[i], i / 2 * 3 + 2 + i % 2);
  cr_assert_not(outbox_drop(&outbox, 1), "it has left");
  cr_assert_not(outbox_drop(&outbox, 100), "it never was");
  outbox_free(&outbox);
}

Test(outbox, frames_can_be_dropped_behind_a_packet_that_has_left)
{
  struct outbox outbox = {0};
  uint64_t large = 0;
  for (uint64_t id = 1; id <= 6; id++) {
    uint64_t number = outbox_add(&outbox, &(struct rpc_frame){.call_id = id, .kind = RPC_FRAME_CANCEL}, 0);
    if (id == 2)
      add_payload(&outbox, 100, RPC_LARGE_FRAME_BYTES);
    large = id == 2 ? number + 1 : large;
  }
  struct outbox_packet packet = outbox_peek(&outbox);
  cr_assert_eq(packet.frame_count, 2);
  outbox_remove(&outbox, packet);
  cr_assert_not(outbox_drop(&outbox, 0));
  cr_assert(outbox_drop(&outbox, large), "it is at the front now");
  cr_assert(outbox_drop(&outbox, large + 2));
  uint64_t ids[8];
  cr_assert_eq(take_ids(&outbox, ids, 8), 3);
  cr_assert_eq(ids[0], 3);
  cr_assert_eq(ids[1], 5);
  cr_assert_eq(ids[2], 6);
  outbox_free(&outbox);
}

Test(outbox, a_stalled_one_keeps_no_memory_for_dropped_frames)
{
  enum { KEPT = 8, DROPPED = 20000, SIZE = 1000 };
  struct outbox outbox = {0};
  for (uint64_t i = 0; i < KEPT; i++) {
    add_payload(&outbox, i + 1, SIZE);
    for (size_t d = 0; d < DROPPED / KEPT; d++) {
      add_payload(&outbox, 1000, SIZE);
      cr_assert(outbox_drop(&outbox, outbox.next - 1));
    }
  }
  cr_assert_lt(outbox.frames.capacity, 64 * SIZE);
  uint64_t ids[KEPT];
  cr_assert_eq(take_ids(&outbox, ids, KEPT), KEPT);
  for (uint64_t i = 0; i < KEPT; i++)
    cr_assert_eq(ids[i], i + 1);
  cr_assert_leq(outbox.ring_capacity, 4096, "nor for their places");
  outbox_free(&outbox);
}
