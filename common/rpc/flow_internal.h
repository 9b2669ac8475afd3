// The packets of one connection as one side counts them, and when frames wait for others before they leave.
//
// Each side numbers the packets that it sends, and each packet says how many of the other side's have come. While some
// of a side's packets are on their way it holds its frames back, so that under load they gather into fewer, larger ones
// (Nagle's algorithm, RFC 896): two, or one while the other side sends in batches itself. An idle connection sends at
// once, a full packet too, and no frame is held for longer than RPC_HOLD_US and what the loop's timer, which counts in
// milliseconds, adds to it. That packets have come is told with those that leave anyway; alone only after
// RPC_NEWS_PACKETS, or when a draining server waits to hear of it.
#ifndef BULKHEAD_RPC_FLOW_INTERNAL_H
#define BULKHEAD_RPC_FLOW_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/list.h"

#define RPC_HOLD_PACKETS 2
#define RPC_HOLD_PACKETS_BUSY 1
#define RPC_HOLD_US 1000
#define RPC_NEWS_PACKETS 8
// A packet of so many frames comes from a side under load.
#define RPC_BUSY_FRAMES 4

// A zeroed flow must go through flow_init.
struct packet_flow {
  uint64_t sent;
  uint64_t arrived;  // of those that we have sent, as far as we have been told
  uint64_t received;
  uint64_t told;           // of those that we have received
  size_t last_frames;      // of the last packet that came with any
  bool tell_now;           // with a packet of its own, if need be
  bool released;           // frames have been held for long enough
  uint64_t held_until_us;  // while in a list of those that hold
  struct list holding;
};

void flow_init(struct packet_flow *flow);
// For a new connection, or none.
void flow_reset(struct packet_flow *flow);

// We have sent a packet, and told of all that have come.
void flow_sent(struct packet_flow *flow);
// A packet has come.
void flow_received(struct packet_flow *flow);
// It held so many frames.
void flow_took_frames(struct packet_flow *flow, size_t count);
// The other side says that so many have come there. False for what is no news: an old or an impossible count.
bool flow_learn(struct packet_flow *flow, uint64_t arrived);

static inline uint64_t flow_on_their_way(const struct packet_flow *flow)
{
  return flow->sent - flow->arrived;
}

static inline bool flow_has_untold(const struct packet_flow *flow)
{
  return flow->received != flow->told;
}

// Whether the frames that wait gather on, rather than leave; `full`: they have gathered enough.
bool flow_holds_back(const struct packet_flow *flow, bool full);
// They do. `holding`, in the order of time, keeps the flow meanwhile.
void flow_hold(struct packet_flow *flow, struct list *holding);
// When the first of them has held for long enough; DEADLINE_NONE when nobody holds.
uint64_t flow_next_due_us(const struct list *holding);
// Takes one that has out of the list, released; NULL when none has.
struct packet_flow *flow_take_due(struct list *holding, uint64_t now_us);

#endif
