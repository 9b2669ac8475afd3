#include "common/rpc/peer_clock_internal.h"

void peer_clock_note(struct peer_clock *clock, uint64_t sent_us, uint64_t received_us)
{
  // Both clocks begin anywhere, so the difference may be negative.
  int64_t measured_us = (int64_t)(received_us - sent_us);
  if (!clock->known || received_us >= clock->window_end_us) {
    clock->previous_us = clock->known ? clock->current_us : measured_us;
    clock->current_us = measured_us;
    clock->window_end_us = received_us + PEER_CLOCK_WINDOW_US;
    clock->known = true;
  } else if (measured_us < clock->current_us) {
    clock->current_us = measured_us;
  }
}

uint64_t peer_clock_turn(const struct peer_clock *clock, uint64_t local_us)
{
  if (!clock->known)
    return 0;
  int64_t smallest_us = clock->current_us < clock->previous_us ? clock->current_us : clock->previous_us;
  uint64_t peer_us = local_us - (uint64_t)smallest_us;
  return peer_us == 0 ? 1 : peer_us;
}
