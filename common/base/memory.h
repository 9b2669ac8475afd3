// Copies of strings on the heap, and how malloc behaves.
#ifndef BULKHEAD_BASE_MEMORY_H
#define BULKHEAD_BASE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/slice.h"

// Copies a text to a terminated string that the caller frees; never NULL.
char *memory_copy_text(struct slice text);
// Copies a string, which the caller frees; NULL for NULL.
char *memory_copy_string(const char *string);

// Lets up to 64 MB of freed memory stay with the process; call it once, at the start of a process that serves requests.
// By default glibc gives back what is free at the top of the heap beyond 128 KB, and under load takes it again at once,
// page by page. memory_trim_look gives it back between bursts.
void memory_keep_freed(void);

// How often to look for memory that can be given back.
#define MEMORY_TRIM_EVERY_MS 10000

// What was seen at the looks so far. Zero at first.
struct memory_trim {
  int64_t base_bytes;   // pages of the process beyond what malloc has handed out: after a trim, or fewer since
  size_t spare_bytes;   // at the last look: free in malloc, and in pages that have come since the trim
  uint32_t looks;       // since the trim
  uint32_t wait_looks;  // how many must pass before the next trim
};
// Gives what is free to the system where half a MB or more was free at two looks in a row: a burst, such as requests
// that wait for a store to come back, leaves much that nothing needs again for long. Memory that was given back in
// vain, because a steady load took it again at once, is given back at every fourth look at most. Returns whether it did
// so. Costs a millisecond or a few in a process with tens of MB.
bool memory_trim_look(struct memory_trim *trim);
// Decides at a look with so many spare bytes. True starts the wait for the next trim.
bool memory_trim_is_due(struct memory_trim *trim, size_t spare_bytes);

#endif
