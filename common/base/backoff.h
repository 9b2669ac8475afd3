// How long to wait before something that has failed is tried again.
#ifndef BULKHEAD_BASE_BACKOFF_H
#define BULKHEAD_BASE_BACKOFF_H

#include <stdint.h>

// Returns the pause, in milliseconds, after one more failure in a row. It is drawn between half of a limit and the
// whole, so that many clients that lost the same server do not return in step. The limit, `*limit_ms`, is `first_ms`
// after the first failure and doubles with each one up to `max_ms`. The caller keeps it and sets it to 0 after a
// success.
uint32_t backoff_next_ms(uint32_t *limit_ms, uint32_t first_ms, uint32_t max_ms);

#endif
