// The small parts by themselves: balancer, table of calls, outbox.
#include <criterion/criterion.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/rpc/balancer_internal.h"
#include "common/rpc/call_table_internal.h"
#include "common/rpc/flow_internal.h"
#include "common/rpc/outbox_internal.h"

static struct balancer_candidate *pick_anew(struct balancer *balancer, struct balancer_candidate *const *all,
                                            size_t count)
{
  balancer_choose_anew(balancer);
  return balancer_pick(balancer, all, count);
}

Test(balancer, picks_the_least_busy_of_the_ready)
{
  struct balancer balancer = {0};
  struct balancer_candidate a = {.ready = true, .calls_in_flight = 3};
  struct balancer_candidate b = {.ready = true, .calls_in_flight = 1};
  struct balancer_candidate c = {.ready = false, .calls_in_flight = 0};
  struct balancer_candidate *all[] = {&a, &b, &c};
  cr_assert_eq(balancer_pick(&balancer, all, 3), &b);
  b.calls_in_flight = 4;
  cr_assert_eq(pick_anew(&balancer, all, 3), &a);
  a.ready = b.ready = false;
  cr_assert_null(pick_anew(&balancer, all, 3));
  cr_assert_null(pick_anew(&balancer, NULL, 0));
}

Test(balancer, equals_take_turns)
{
  struct balancer balancer = {0};
  struct balancer_candidate candidates[3] = {{.ready = true}, {.ready = true}, {.ready = true}};
  struct balancer_candidate *all[] = {&candidates[0], &candidates[1], &candidates[2]};
  size_t picks[3] = {0};
  for (size_t i = 0; i < 30; i++)
    picks[pick_anew(&balancer, all, 3) - candidates]++;
  for (size_t i = 0; i < 3; i++)
    cr_assert_eq(picks[i], 10);
  // A list that has become shorter meanwhile is no problem.
  cr_assert_eq(pick_anew(&balancer, all, 1), &candidates[0]);
}

Test(balancer, the_calls_of_a_turn_stay_together_up_to_a_bound)
{
  struct balancer balancer = {0};
  struct balancer_candidate candidates[2] = {{.ready = true}, {.ready = true}};
  struct balancer_candidate *all[] = {&candidates[0], &candidates[1]};
  size_t picks[2] = {0};
  for (size_t i = 0; i < 2 * BALANCER_TOGETHER; i++) {
    struct balancer_candidate *pick = balancer_pick(&balancer, all, 2);
    pick->calls_in_flight++;
    picks[pick - candidates]++;
    if (i + 1 == BALANCER_TOGETHER)
      cr_assert_eq(picks[0] * picks[1], 0, "a part of the turn has gone elsewhere");
  }
  cr_assert_eq(picks[0], picks[1], "a long turn is shared");
}

Test(balancer, one_that_is_not_ready_any_more_keeps_no_turn)
{
  struct balancer balancer = {0};
  struct balancer_candidate candidates[2] = {{.ready = true}, {.ready = true}};
  struct balancer_candidate *all[] = {&candidates[0], &candidates[1]};
  struct balancer_candidate *first = balancer_pick(&balancer, all, 2);
  first->ready = false;
  cr_assert_neq(balancer_pick(&balancer, all, 2), first);
}

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

static void add_payload(struct outbox *outbox, uint64_t id, size_t size)
{
  char *bytes = calloc(1, size + 1);
  struct rpc_frame frame = {.call_id = id, .kind = RPC_FRAME_RESPONSE, .payload = slice_make(bytes, size)};
  outbox_add(outbox, &frame);
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

// Two packets on their way, neither has arrived.
static void send_two(struct packet_flow *flow)
{
  flow_init(flow);
  flow_sent(flow);
  flow_sent(flow);
}

Test(flow, frames_are_held_while_packets_are_on_their_way)
{
  struct packet_flow flow;
  flow_init(&flow);
  flow_sent(&flow);
  cr_assert_not(flow_holds_back(&flow, false), "one is not enough");
  flow_took_frames(&flow, RPC_BUSY_FRAMES);
  cr_assert(flow_holds_back(&flow, false), "unless the other side sends batches");
  flow_took_frames(&flow, 0);
  cr_assert(flow_holds_back(&flow, false), "news alone say nothing of that");
  flow_took_frames(&flow, 1);
  cr_assert_not(flow_holds_back(&flow, false));
  flow_sent(&flow);
  cr_assert(flow_holds_back(&flow, false));
  cr_assert_not(flow_holds_back(&flow, true), "enough for a packet");
}

Test(flow, frames_are_held_for_a_moment_only)
{
  struct packet_flow flow;
  struct list holding;
  list_init(&holding);
  send_two(&flow);
  cr_assert_eq(flow_next_due_us(&holding), DEADLINE_NONE);
  flow_hold(&flow, &holding);
  uint64_t due_us = flow_next_due_us(&holding);
  cr_assert_leq(due_us, clock_now_us() + RPC_HOLD_US);
  flow_hold(&flow, &holding);
  cr_assert_eq(flow_next_due_us(&holding), due_us, "counted from the first");
  cr_assert_null(flow_take_due(&holding, due_us - 1));
  cr_assert_eq(flow_take_due(&holding, due_us), &flow);
  cr_assert_not(flow_holds_back(&flow, false));
  flow_sent(&flow);
  cr_assert(flow_holds_back(&flow, false), "the next ones are held anew");
  cr_assert_eq(flow_next_due_us(&holding), DEADLINE_NONE);
}

Test(flow, packets_that_came_are_told_of_with_others_or_when_they_are_many)
{
  struct packet_flow flow;
  flow_init(&flow);
  for (size_t i = 1; i < RPC_NEWS_PACKETS; i++)
    flow_received(&flow);
  cr_assert(flow_has_untold(&flow));
  cr_assert_not(flow.tell_now);
  flow_received(&flow);
  cr_assert(flow.tell_now);
  flow_sent(&flow);
  cr_assert_not(flow.tell_now);
  cr_assert_not(flow_has_untold(&flow));
}

Test(flow, counts_that_cannot_be_are_no_news)
{
  struct packet_flow flow;
  send_two(&flow);
  cr_assert_not(flow_learn(&flow, 0));
  cr_assert_not(flow_learn(&flow, 3));
  cr_assert(flow_holds_back(&flow, false));
  cr_assert(flow_learn(&flow, 1));
  cr_assert_not(flow_learn(&flow, 1));
  cr_assert_not(flow_holds_back(&flow, false));
}
