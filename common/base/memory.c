#include "common/base/memory.h"

#include <malloc.h>

#define KEEP_BYTES (64 * 1024 * 1024)
// Setting either threshold stops glibc from adapting the other, so both are set: larger pieces are mapped one by one.
#define MAP_FROM_BYTES (1024 * 1024)

void memory_keep_freed(void)
{
  // A failure leaves malloc as it is, which is slower but right.
  (void)mallopt(M_TRIM_THRESHOLD, KEEP_BYTES);
  (void)mallopt(M_MMAP_THRESHOLD, MAP_FROM_BYTES);
}
