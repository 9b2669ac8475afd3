#include "common/base/memory.h"

#include <malloc.h>

#define KEEP_BYTES (64 * 1024 * 1024)
// Setting the one switches off that glibc adapts the other: larger pieces are mapped and given back one by one.
#define MAP_FROM_BYTES (1024 * 1024)

void memory_keep_freed(void)
{
  // What fails leaves things as they are.
  (void)mallopt(M_TRIM_THRESHOLD, KEEP_BYTES);
  (void)mallopt(M_MMAP_THRESHOLD, MAP_FROM_BYTES);
}
