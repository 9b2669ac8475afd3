// When very large replies give way to others. While the worker answers other requests, they pause after each of their
// turns. Without pauses a few of them keep the worker busy all the time. The kernel then has used up the worker's share
// of the processor, and lets other processes run for several milliseconds when a small request comes. Pure decisions.
#ifndef BULKHEAD_GATEWAY_PACING_H
#define BULKHEAD_GATEWAY_PACING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Replies of more bytes are very large.
#define PACING_LARGE_BYTES ((size_t)256 * 1024)
// The pause between two turns of very large replies.
#define PACING_PAUSE_MS 2
// Very large replies pause between their turns for so long after each reply to others.
#define PACING_OTHERS_US (30 * 1000)

// Tells whether a reply of so many bytes waits behind others.
bool pacing_is_very_large(size_t bytes);
// Tells whether very large replies pause for such a reply. They do not for a 429, which is also what a caller gets who
// asks for too many of them.
bool pacing_is_other(int http_status, size_t bytes);
// Returns for how long very large replies pause after a turn: 0 where the last reply to others, at `other_us`, was sent
// too long ago, or there was none (0).
uint32_t pacing_pause_ms(uint64_t now_us, uint64_t other_us);

#endif
