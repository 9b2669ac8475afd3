// Copies of strings on the heap, and how malloc behaves.
#ifndef BULKHEAD_BASE_MEMORY_H
#define BULKHEAD_BASE_MEMORY_H

#include "common/base/slice.h"

// Copies a text to a terminated string that the caller frees; never NULL.
char *memory_copy_text(struct slice text);
// Copies a string, which the caller frees; NULL for NULL.
char *memory_copy_string(const char *string);

// Lets up to 64 MB of freed memory stay with the process; call it once, at the start of a process that serves requests.
// By default glibc gives back what is free at the top of the heap beyond 128 KB, and under load takes it again at once,
// page by page.
void memory_keep_freed(void);

#endif
