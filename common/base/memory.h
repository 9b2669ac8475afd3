// Copies of strings on the heap, and how malloc behaves.
#ifndef BULKHEAD_BASE_MEMORY_H
#define BULKHEAD_BASE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

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

// What a process had after memory was given back last: pages, and what was in use of them. Zero at first.
struct memory_trim {
  size_t resident_bytes, used_bytes;
};
// Gives what is free to the system where the process has grown since, or uses less: a burst, such as requests that wait
// for a store to come back, leaves much that nothing needs again for long. Returns whether it did so. Costs a
// millisecond or a few in a process with tens of MB.
bool memory_trim_look(struct memory_trim *trim);

#endif
