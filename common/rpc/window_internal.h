// The packets of one connection as one side counts them: what is in flight, what is acked, which acks are due.
//
// Each side numbers the packets that it sends, and each packet carries a cumulative ack: how many packets of the other
// side have arrived. Acks ride on packets that leave anyway; a packet of its own carries one only after
// RPC_ACK_EVERY_PACKETS, or when a server that shuts down waits for it.
#ifndef BULKHEAD_RPC_WINDOW_INTERNAL_H
#define BULKHEAD_RPC_WINDOW_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RPC_ACK_EVERY_PACKETS 8

// A zeroed window is ready to use.
struct packet_window {
  uint64_t sent;
  uint64_t acked;  // of those sent
  uint64_t received;
  uint64_t ack_sent;  // of those received
  bool ack_due;       // an ack must leave now, in a packet of its own if there are no frames
};

// Counts a packet that was sent, which carried an ack of `acked` received packets.
void window_count_sent(struct packet_window *window, uint64_t acked);
// Counts a packet that was received, and makes an ack due if enough are unacked.
void window_count_received(struct packet_window *window);
// Makes an ack due at once if anything received is unacked.
void window_hurry_ack(struct packet_window *window);
// Applies the other side's cumulative ack. False if it is stale or impossible; then nothing changes.
bool window_apply_ack(struct packet_window *window, uint64_t acked);

static inline uint64_t window_in_flight(const struct packet_window *window)
{
  return window->sent - window->acked;
}

#endif
