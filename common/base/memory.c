#include "common/base/memory.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/arena.h"
#include "common/base/check.h"

#define KEEP_BYTES (64 * 1024 * 1024)
// What is worth a trim: this share of what the process has of its own, and so much at least.
#define TRIM_SHARE 128
#define LEAST_TRIM_BYTES (32 * 1024)
// Between two trims, where the first was not in vain, and where several were.
#define LEAST_LOOKS 2
#define MOST_LOOKS 4
// Setting either threshold stops glibc from adapting the other, so both are set: larger pieces are mapped one by one,
// and their pages come from the system one by one each time. The messages of large lists are below it.
#define MAP_FROM_BYTES (10 * 1024 * 1024)

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
  // Messages that one thread allocates and another frees leave holes in two arenas; one is also trimmed better.
  (void)mallopt(M_ARENA_MAX, 1);
}

// Reads what is in RAM.
static void measure_resident(struct memory_use *use)
{
  char line[128] = "", *end;
  FILE *file = fopen("/proc/self/statm", "re");
  if (file == NULL)
    return;
  bool is_known = fgets(line, sizeof(line), file) != NULL;
  fclose(file);
  // In pages: the address space, what is resident, and what of that files hold.
  (void)strtoul(line, &end, 10);
  unsigned long pages = strtoul(end, &end, 10), shared = strtoul(end, &end, 10);
  if (!is_known || pages < shared)
    return;
  size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
  use->resident_bytes = pages * page_bytes;
  use->anonymous_bytes = (pages - shared) * page_bytes;
}

struct memory_use memory_measure(void)
{
  struct mallinfo2 info = mallinfo2();
  struct memory_use use = {.in_use_bytes = info.uordblks + info.hblkhd, .spare_bytes = info.fordblks};
  measure_resident(&use);
  return use;
}

// Pages of what malloc has handed out may not exist yet, so the difference can be negative.
static int64_t count_beyond_used(const struct memory_use *use)
{
  return (int64_t)use->anonymous_bytes - (int64_t)use->in_use_bytes;
}

// What malloc counts as free stays free after a trim, without its pages; so pages are asked for, too.
static size_t find_spare(struct memory_trim *trim)
{
  int64_t beyond = count_beyond_used(&trim->use);
  if (beyond < trim->base_bytes)
    trim->base_bytes = beyond;
  size_t grown = (size_t)(beyond - trim->base_bytes);
  return grown < trim->use.spare_bytes ? grown : trim->use.spare_bytes;
}

static uint32_t find_wait(const struct memory_trim *trim)
{
  // What is due again so soon was taken by a load that goes on.
  bool was_in_vain = trim->wait_looks != 0 && trim->looks <= 2 * trim->wait_looks;
  uint32_t longer = 2 * trim->wait_looks;
  if (!was_in_vain)
    return LEAST_LOOKS;
  return longer < MOST_LOOKS ? longer : MOST_LOOKS;
}

static size_t find_worthwhile(const struct memory_use *use)
{
  size_t share = use->anonymous_bytes / TRIM_SHARE;
  return share > LEAST_TRIM_BYTES ? share : LEAST_TRIM_BYTES;
}

bool memory_trim_is_due(struct memory_trim *trim, size_t spare_bytes)
{
  // In use at one of both looks is in use.
  size_t worthwhile = find_worthwhile(&trim->use);
  bool is_spare = trim->spare_bytes >= worthwhile && spare_bytes >= worthwhile;
  trim->spare_bytes = spare_bytes;
  trim->looks++;
  if (!is_spare || trim->looks < trim->wait_looks)
    return false;
  trim->wait_looks = find_wait(trim);
  trim->looks = 0;
  trim->spare_bytes = 0;
  return true;
}

bool memory_trim_look(struct memory_trim *trim)
{
  (void)arena_trim_spare();
  trim->use = memory_measure();
  if (!memory_trim_is_due(trim, find_spare(trim)))
    return false;
  (void)malloc_trim(0);
  trim->use = memory_measure();
  trim->base_bytes = count_beyond_used(&trim->use);
  return true;
}
