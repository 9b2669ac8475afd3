// The clock of the server at the other end of a connection, as its packets tell it: turns a deadline of ours into one
// on the server's clock.
//
// What is left of a deadline in milliseconds is true only when the request leaves. After that it may wait in our
// outbox and in the network's buffers, and in a server whose process is stopped for 10 s it waits unseen, because the
// server reads it as if it had just come. So each request also says when its caller stops waiting, on the
// server's own clock, which goes on while the process is stopped. The server does not begin what has expired by then.
//
// Every packet of a server carries the server's clock. What we measure is its way to us: receive time minus send time,
// which is the difference of the clocks plus the time on the way. The time on the way is never negative, so the
// smallest measurement of late is the nearest to the truth, and never below it. A deadline is turned with that one: it
// can come out too early by the time that the quickest packet took, and never too late. A single slow packet does no
// harm, and if the first one of a connection was slow, the next one mends it.
//
// Clocks of two machines drift apart, and a machine that is suspended stops its clock. So measurements are forgotten
// after two windows of 10 s, but never the last one: a drift of 50 in a million is 180 ms after an hour of silence.
//
// The first packet: a connection is no proof that a process runs, because it can be stopped right after the
// greeting. So a client asks for a packet (a probe, see endpoint.c) and makes no calls before it has come. Its answer
// brings the clock. A stopped server gets no request, and its calls end as NOT_APPLIED. A server of an earlier version
// answers the probe without a clock; its requests carry what is left alone, as before.
#ifndef BULKHEAD_RPC_PEER_CLOCK_INTERNAL_H
#define BULKHEAD_RPC_PEER_CLOCK_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#define PEER_CLOCK_WINDOW_US UINT64_C(10000000)

// A zeroed clock is unknown.
struct peer_clock {
  bool known;
  int64_t current_us;   // the smallest measurement of the current window
  int64_t previous_us;  // the smallest measurement of the window before
  uint64_t window_end_us;
};

// Notes a packet that the peer has sent at `sent_us` of its clock and that has come at `received_us` of ours.
void peer_clock_note(struct peer_clock *clock, uint64_t sent_us, uint64_t received_us);
// Returns the time of the peer's clock at `local_us` of ours, or a little before; never 0. Returns 0 when the clock is
// not known.
uint64_t peer_clock_turn(const struct peer_clock *clock, uint64_t local_us);

#endif
