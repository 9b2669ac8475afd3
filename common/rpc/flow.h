// The packets of one connection as one side counts them, and when it has to tell the other side.
//
// Each side numbers the packets that it sends, and each packet says how many of the other side's have come. While
// RPC_HOLD_PACKETS of a side's packets are on their way it holds its frames back, so that under load they gather into
// fewer, larger ones (Nagle's algorithm, RFC 896); an idle connection sends at once. The other side therefore owes it
// news: with the next packet that it sends anyway, as replies mostly do; alone once RPC_NEWS_DELAY_US have passed (the
// delayed acknowledgement of RFC 1122, section 4.2.3.2) or RPC_NEWS_PACKETS have come. So a frame is held back for that
// long at most.
#ifndef BULKHEAD_RPC_FLOW_H
#define BULKHEAD_RPC_FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/list.h"

#define RPC_HOLD_PACKETS 2
#define RPC_NEWS_PACKETS 8
#define RPC_NEWS_DELAY_US 1000

// A zeroed flow must go through flow_init.
struct packet_flow {
  uint64_t sent;
  uint64_t arrived;  // of those that we have sent, as far as we have been told
  uint64_t received;
  uint64_t told;         // of those that we have received
  uint64_t news_due_us;  // while in a list of those that owe news
  struct list owing;
  bool tell_now;  // with a packet of its own, if need be
};

void flow_init(struct packet_flow *flow);
// For a new connection, or none.
void flow_reset(struct packet_flow *flow);

// We have sent a packet, and told of all that have come.
void flow_sent(struct packet_flow *flow);
// A packet has come. `owing`, oldest first, takes the flow while it owes news.
void flow_received(struct packet_flow *flow, struct list *owing, uint64_t now_us);
// The other side says that so many have come there. False for what is no news: an old or an impossible count.
bool flow_learn(struct packet_flow *flow, uint64_t arrived);

// When the first of them is due; DEADLINE_NONE when nobody owes.
uint64_t flow_next_due_us(const struct list *owing);
// Takes one that is due out of the list, to `tell_now`; NULL when none is.
struct packet_flow *flow_take_due(struct list *owing, uint64_t now_us);

static inline uint64_t flow_on_their_way(const struct packet_flow *flow)
{
  return flow->sent - flow->arrived;
}

static inline bool flow_has_untold(const struct packet_flow *flow)
{
  return flow->received != flow->told;
}

// Whether the frames that wait gather on, rather than leave; `full`: they have gathered enough.
static inline bool flow_holds_back(const struct packet_flow *flow, bool full)
{
  return flow_on_their_way(flow) >= RPC_HOLD_PACKETS && !full && !flow->tell_now;
}

#endif
