// How long to wait before something that has failed is tried again.
#ifndef BULKHEAD_BASE_BACKOFF_H
#define BULKHEAD_BASE_BACKOFF_H

#include <stdint.h>

// The pause, in milliseconds, after one more failure in a row: at random between half and all of a limit, so that many
// who lost the same server do not come back to it in step. The limit, `*limit_ms`, is `first_ms` after the first
// failure and doubles with each until it is `max_ms`. The caller keeps it, and sets it to 0 when a try was good.
uint32_t backoff_next_ms(uint32_t *limit_ms, uint32_t first_ms, uint32_t max_ms);

#endif
