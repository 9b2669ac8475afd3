#include "common/base/file_stamp.h"

#include <stddef.h>
#include <sys/stat.h>

struct file_stamp file_stamp_take(const char *path)
{
  struct stat info;
  if (path == NULL || stat(path, &info) != 0)
    return (struct file_stamp){0};
  return (struct file_stamp){
      .device = info.st_dev, .inode = info.st_ino, .size = info.st_size, .changed = info.st_mtim};
}

bool file_stamp_equal(const struct file_stamp *a, const struct file_stamp *b)
{
  return a->device == b->device && a->inode == b->inode && a->size == b->size &&
         a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}
