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
// page by page. memory_trim_look gives it back between bursts. All threads share one arena, and those that exist
// already keep theirs.
void memory_keep_freed(void);

// Memory of the process.
struct memory_use {
  size_t in_use_bytes;     // malloc has handed them out
  size_t spare_bytes;      // free in malloc; their pages may have been given back
  size_t resident_bytes;   // in RAM, pages of files included; 0 where the kernel does not say
  size_t anonymous_bytes;  // in RAM, without pages of files; 0 where the kernel does not say
};
// Costs some microseconds, and more where much is free in small pieces.
struct memory_use memory_measure(void);

// How often to look for memory that can be given back.
#define MEMORY_TRIM_EVERY_MS 10000

// What was seen at the looks so far. Zero at first.
struct memory_trim {
  int64_t base_bytes;     // pages of the process beyond what malloc has handed out: after a trim, or fewer since
  size_t spare_bytes;     // at the last look: free in malloc, and in pages that have come since the trim
  uint32_t looks;         // since the trim
  uint32_t wait_looks;    // how many must pass before the next trim
  struct memory_use use;  // at the last look, after its trim
};
// Frees the arenas' blocks that this thread keeps and has not needed since the last look (arena.h), and
// gives what is free to the system where it was worthwhile at two looks in a row: a 128th of what the process has of
// its own, and 32 KB at least. A burst, such as requests that wait for a store to come back, leaves much that nothing
// needs again for long; and without it a process would keep the most that it ever had, which grows for hours. Memory
// that was given back in vain, because a steady load took it again at once, is given back at every fourth look at most.
// Returns whether it did so. Costs a millisecond or a few in a process with tens of MB.
bool memory_trim_look(struct memory_trim *trim);
// Decides at a look with so many spare bytes, where `use` says what the process has. True starts the wait for the next
// trim.
bool memory_trim_is_due(struct memory_trim *trim, size_t spare_bytes);

#endif
