// Limits a line of the log that strangers can cause as often as they like to one or a few a second, and counts what was
// left out.
#ifndef BULKHEAD_OBSERVE_LOG_LIMIT_H
#define BULKHEAD_OBSERVE_LOG_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

// The limit of one kind of line. All zero at first.
struct log_limit {
  uint64_t next_us;     // when the second ends that the last line has begun
  uint32_t written;     // lines in that second
  uint64_t suppressed;  // lines that were left out since the last one
};

// Returns whether the line may be written now. `suppressed` becomes the number of lines that were left out before it.
bool log_limit_pass(struct log_limit *limit, uint64_t now_us, uint64_t *suppressed);
// The same for `lines` lines a second, so that single ones are all written.
bool log_limit_pass_some(struct log_limit *limit, uint32_t lines, uint64_t now_us, uint64_t *suppressed);

#endif
