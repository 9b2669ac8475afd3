// What a file looked like: whether it has changed since is seen without reading it.
#ifndef BULKHEAD_BASE_FILE_STAMP_H
#define BULKHEAD_BASE_FILE_STAMP_H

#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

// All zero for a file that cannot be looked at.
struct file_stamp {
  dev_t device;
  ino_t inode;
  off_t size;
  struct timespec changed;
};

// Looks at the file. NULL is accepted, as a file that cannot be looked at.
struct file_stamp file_stamp_take(const char *path);
bool file_stamp_equal(const struct file_stamp *a, const struct file_stamp *b);

#endif
