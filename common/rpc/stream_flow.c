#include "common/rpc/stream_flow_internal.h"

// Credit beyond this is dropped: a peer that gives so much makes a mistake.
#define MAX_CREDIT ((int64_t)1 << 40)

struct stream_flow stream_flow_make(uint32_t may_send, uint32_t credit)
{
  uint32_t first = credit == 0 ? STREAM_CREDIT_BYTES : credit;
  return (struct stream_flow){.may_send = may_send,
                              .may_receive = first,
                              .credit = first,
                              .most_credit = credit == 0 ? STREAM_MAX_CREDIT_BYTES : credit};
}

void stream_flow_count_sent(struct stream_flow *flow, size_t size)
{
  flow->may_send -= (int64_t)stream_flow_cost(size);
}

bool stream_flow_add_credit(struct stream_flow *flow, uint32_t credit)
{
  bool waited = flow->may_send <= 0;
  flow->may_send += credit;
  if (flow->may_send > MAX_CREDIT)
    flow->may_send = MAX_CREDIT;
  return waited && stream_flow_may_send(flow);
}

bool stream_flow_count_received(struct stream_flow *flow, size_t size)
{
  if (flow->receives_no_more || flow->may_receive <= 0)
    return false;
  flow->may_receive -= (int64_t)stream_flow_cost(size);
  flow->kept += (int64_t)stream_flow_cost(size);
  return true;
}

uint32_t stream_flow_take(struct stream_flow *flow, size_t count, size_t size)
{
  size_t cost = size + count * STREAM_MESSAGE_COST;
  flow->taken += (uint32_t)cost;
  flow->kept -= (int64_t)cost;
  if (flow->receives_no_more || flow->taken < flow->credit / 2)
    return 0;
  uint32_t credit = flow->taken;
  if (flow->kept == 0 && flow->credit < flow->most_credit) {
    credit += flow->credit;
    flow->credit *= 2;
  }
  flow->taken = 0;
  flow->may_receive += credit;
  return credit;
}
