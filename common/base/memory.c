#include "common/base/memory.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"

#define KEEP_BYTES (64 * 1024 * 1024)
// Setting either threshold stops glibc from adapting the other, so both are set: larger pieces are mapped one by one.
#define MAP_FROM_BYTES (1024 * 1024)

char *memory_copy_text(struct slice text)
{
  char *copy = malloc(text.size + 1);
  CHECK(copy != NULL);
  if (text.size > 0)
    memcpy(copy, text.data, text.size);
  copy[text.size] = '\0';
  return copy;
}

char *memory_copy_string(const char *string)
{
  return string == NULL ? NULL : memory_copy_text(slice_from_string(string));
}

void memory_keep_freed(void)
{
  // A failure leaves malloc as it is, which is slower but right.
  (void)mallopt(M_TRIM_THRESHOLD, KEEP_BYTES);
  (void)mallopt(M_MMAP_THRESHOLD, MAP_FROM_BYTES);
}
