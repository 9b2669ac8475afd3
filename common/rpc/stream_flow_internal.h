// How much may be sent over one stream: the credit of both directions, as one side counts it. A reader that does not
// take its messages gives no credit, so that its writer waits, and nobody else.
//
// Credit is counted in bytes of messages. A message may be sent while any is left, whatever its size: the reader keeps
// at most the credit and one message. A reader that takes all that comes gives more credit over time, up to a bound, so
// that a fast stream need not wait for the other side's turns. An empty message counts, too, because the reader has to
// keep it.
#ifndef BULKHEAD_RPC_STREAM_FLOW_INTERNAL_H
#define BULKHEAD_RPC_STREAM_FLOW_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/compiler.h"

// The credit of both directions when a stream is opened, unless its client has chosen what it gives.
#define STREAM_CREDIT_BYTES (256u * 1024)
// How much more the credit of a direction becomes whose reader takes all that comes at once.
#define STREAM_MAX_CREDIT_BYTES (1024u * 1024)
// What a message counts beyond its bytes.
#define STREAM_MESSAGE_COST 64u
// A writer waits while the connection has more unsent bytes than this, so that it does not hold up what comes behind
// it.
#define STREAM_BACKLOG_BYTES ((size_t)512 * 1024)

struct stream_flow {
  int64_t may_send;
  int64_t may_receive;
  int64_t kept;           // bytes that have come and were not taken
  uint32_t taken;         // bytes that were taken since credit was given last
  uint32_t credit;        // the most that the other side has been given at a time
  uint32_t most_credit;   // what that may become
  bool sends_no_more;     // this side has ended its messages
  bool receives_no_more;  // the other side has
};

// Opens both directions. `may_send` is what the other side has given in the beginning. `credit` is what this side
// gives, at any time; 0: STREAM_CREDIT_BYTES at first, and more to a fast stream.
struct stream_flow stream_flow_make(uint32_t may_send, uint32_t credit);

// Returns what a message of `size` bytes counts.
static inline size_t stream_flow_cost(size_t size)
{
  return size + STREAM_MESSAGE_COST;
}

// Returns how many unsent bytes of a connection stop the streams over it. Far fewer than those beyond which it is given
// up, also where messages are small.
static inline size_t stream_backlog(size_t max_message_bytes)
{
  return max_message_bytes * 4 < STREAM_BACKLOG_BYTES ? max_message_bytes * 4 : STREAM_BACKLOG_BYTES;
}

// Returns whether the credit lets a message be sent.
static inline bool stream_flow_may_send(const struct stream_flow *flow)
{
  return flow->may_send > 0 && !flow->sends_no_more;
}

// Counts a message of `size` bytes that is sent.
void stream_flow_count_sent(struct stream_flow *flow, size_t size);
// Adds credit of the other side. Returns whether that lets messages be sent again.
bool stream_flow_add_credit(struct stream_flow *flow, uint32_t credit);
// Counts a message of `size` bytes that has come. False when the other side had no credit for it, or had ended before.
bool stream_flow_count_received(struct stream_flow *flow, size_t size) MUST_CHECK;
// Notes that the reader has taken `count` messages of `size` bytes together. Returns how much credit to give the other
// side now: 0 until it is worth a frame.
uint32_t stream_flow_take(struct stream_flow *flow, size_t count, size_t size) MUST_CHECK;

#endif
