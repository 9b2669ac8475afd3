// Sets how malloc behaves in a process that serves requests.
#ifndef BULKHEAD_BASE_MEMORY_H
#define BULKHEAD_BASE_MEMORY_H

// Lets up to 64 MB of freed memory stay with the process; call it once, at the start. By default glibc gives back what
// is free at the top of the heap beyond 128 KB, and under load takes it again at once, page by page.
void memory_keep_freed(void);

#endif
