// How malloc behaves in a process that serves.
#ifndef BULKHEAD_BASE_MEMORY_H
#define BULKHEAD_BASE_MEMORY_H

// Up to 64 MB of freed memory stay with the process. glibc gives back what is free at the top of the heap beyond
// 128 KB, and under load takes it again at once, page by page. At the start of the process.
void memory_keep_freed(void);

#endif
