#include "common/base/memory.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/check.h"

#define KEEP_BYTES (64 * 1024 * 1024)
// A change that is worth a trim.
#define TRIM_BYTES (64 * 1024)
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

// Returns how much memory the process has of its own, without what files hold; 0 where the kernel does not say.
static size_t count_resident(void)
{
  char line[128] = "", *end;
  FILE *file = fopen("/proc/self/statm", "re");
  if (file == NULL)
    return 0;
  bool is_known = fgets(line, sizeof(line), file) != NULL;
  fclose(file);
  // In pages: the address space, what is resident, and what of that files hold.
  (void)strtoul(line, &end, 10);
  unsigned long pages = strtoul(end, &end, 10), shared = strtoul(end, &end, 10);
  return is_known && pages >= shared ? (pages - shared) * (size_t)sysconf(_SC_PAGESIZE) : 0;
}

static size_t count_used(void)
{
  struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

bool memory_trim_look(struct memory_trim *trim)
{
  size_t used = count_used();
  if (count_resident() < trim->resident_bytes + TRIM_BYTES && used + TRIM_BYTES > trim->used_bytes)
    return false;
  (void)malloc_trim(0);
  *trim = (struct memory_trim){.resident_bytes = count_resident(), .used_bytes = used};
  return true;
}
