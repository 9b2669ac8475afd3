#include "common/rpc/window_internal.h"

void window_count_sent(struct packet_window *window, uint64_t acked)
{
  window->sent++;
  window->ack_sent = acked;
  window->ack_due = false;
}

void window_count_received(struct packet_window *window)
{
  if (++window->received - window->ack_sent >= RPC_ACK_EVERY_PACKETS)
    window->ack_due = true;
}

void window_hurry_ack(struct packet_window *window)
{
  if (window->received != window->ack_sent)
    window->ack_due = true;
}

bool window_apply_ack(struct packet_window *window, uint64_t acked)
{
  if (acked <= window->acked || acked > window->sent)
    return false;
  window->acked = acked;
  return true;
}
