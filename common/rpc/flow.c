// All hold for the same time, so a list in the order in which they began is in the order of time.
#include "common/rpc/flow_internal.h"

#include "common/base/clock.h"
#include "common/base/compiler.h"

void flow_init(struct packet_flow *flow)
{
  *flow = (struct packet_flow){0};
  list_init(&flow->holding);
}

void flow_reset(struct packet_flow *flow)
{
  list_remove(&flow->holding);
  flow_init(flow);
}

void flow_sent(struct packet_flow *flow)
{
  flow->sent++;
  flow->told = flow->received;
  flow->tell_now = false;
  flow->released = false;
  list_remove(&flow->holding);
}

void flow_received(struct packet_flow *flow)
{
  if (++flow->received - flow->told >= RPC_NEWS_PACKETS)
    flow->tell_now = true;
}

void flow_took_frames(struct packet_flow *flow, size_t count)
{
  if (count != 0)
    flow->last_frames = count;
}

bool flow_learn(struct packet_flow *flow, uint64_t arrived)
{
  if (arrived <= flow->arrived || arrived > flow->sent)
    return false;
  flow->arrived = arrived;
  return true;
}

bool flow_holds_back(const struct packet_flow *flow, bool full)
{
  uint64_t limit = flow->last_frames >= RPC_BUSY_FRAMES ? RPC_HOLD_PACKETS_BUSY : RPC_HOLD_PACKETS;
  return flow_on_their_way(flow) >= limit && !full && !flow->tell_now && !flow->released;
}

void flow_hold(struct packet_flow *flow, struct list *holding)
{
  if (!list_empty(&flow->holding))
    return;
  flow->held_until_us = clock_now_us() + RPC_HOLD_US;
  list_append(holding, &flow->holding);
}

uint64_t flow_next_due_us(const struct list *holding)
{
  return list_empty(holding) ? DEADLINE_NONE : CONTAINER_OF(holding->next, struct packet_flow, holding)->held_until_us;
}

struct packet_flow *flow_take_due(struct list *holding, uint64_t now_us)
{
  if (flow_next_due_us(holding) > now_us)
    return NULL;
  struct packet_flow *flow = CONTAINER_OF(holding->next, struct packet_flow, holding);
  list_remove(&flow->holding);
  flow->released = true;
  return flow;
}
