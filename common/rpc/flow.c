// The delay is the same for all, so a list in the order of arrival is in the order of time.
#include "common/rpc/flow.h"

#include "common/base/clock.h"
#include "common/base/compiler.h"

void flow_init(struct packet_flow *flow)
{
  *flow = (struct packet_flow){0};
  list_init(&flow->owing);
}

void flow_reset(struct packet_flow *flow)
{
  list_remove(&flow->owing);
  flow_init(flow);
}

void flow_sent(struct packet_flow *flow)
{
  flow->sent++;
  flow->told = flow->received;
  flow->tell_now = false;
  list_remove(&flow->owing);
}

void flow_received(struct packet_flow *flow, struct list *owing, uint64_t now_us)
{
  uint64_t untold = ++flow->received - flow->told;
  if (untold >= RPC_NEWS_PACKETS)
    flow->tell_now = true;
  if (untold < RPC_HOLD_PACKETS || flow->tell_now || !list_empty(&flow->owing))
    return;
  flow->news_due_us = now_us + RPC_NEWS_DELAY_US;
  list_append(owing, &flow->owing);
}

bool flow_learn(struct packet_flow *flow, uint64_t arrived)
{
  if (arrived <= flow->arrived || arrived > flow->sent)
    return false;
  flow->arrived = arrived;
  return true;
}

uint64_t flow_next_due_us(const struct list *owing)
{
  return list_empty(owing) ? DEADLINE_NONE : CONTAINER_OF(owing->next, struct packet_flow, owing)->news_due_us;
}

struct packet_flow *flow_take_due(struct list *owing, uint64_t now_us)
{
  if (flow_next_due_us(owing) > now_us)
    return NULL;
  struct packet_flow *flow = CONTAINER_OF(owing->next, struct packet_flow, owing);
  list_remove(&flow->owing);
  flow->tell_now = true;
  return flow;
}
