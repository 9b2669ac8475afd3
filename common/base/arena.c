// A bump allocator over a chain of malloc'ed blocks. The owner's thread only.
//
// Allocations come from one standard block until it is full. A big one that does not fit gets a block of its own, and
// what the standard block has left is still used. Under AddressSanitizer unused memory is poisoned, so
// that a use after arena_reset or a write past an allocation is found although nothing is freed one by one.
#include "common/base/arena.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#endif

#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
#define RED_ZONE_BYTES 16
// This stays out of line because gcc takes the call, which gets fresh memory as const, as a read of that memory.
static __attribute__((noinline)) void poison_memory(void *start, size_t size)
{
  __asan_poison_memory_region(start, size);
}

static void unpoison_memory(void *start, size_t size)
{
  __asan_unpoison_memory_region(start, size);
}
#else
#define RED_ZONE_BYTES 0
static void poison_memory(void *start, size_t size)
{
  (void)start;
  (void)size;
}

static void unpoison_memory(void *start, size_t size)
{
  (void)start;
  (void)size;
}
#endif

#define ALIGNMENT _Alignof(max_align_t)
// A standard block takes two pages, less what malloc adds.
#define BLOCK_BYTES (8192 - 32)

struct arena_block {
  _Alignas(max_align_t) struct arena_block *next;
  size_t size;  // bytes, this header included
};

struct arena_cleanup {
  struct arena_cleanup *next;
  void (*run)(void *arg);
  void *arg;
};

void arena_init(struct arena *arena)
{
  *arena = (struct arena){0};
}

// Free standard blocks that this thread keeps, because malloc is slow for their size. Builds with AddressSanitizer keep
// none, so that it sees every use after free.
#ifdef ARENA_ASAN
#define MAX_SPARE_BLOCKS 0
#else
#define MAX_SPARE_BLOCKS 64
#endif
static _Thread_local struct arena_block *spare_blocks;
static _Thread_local size_t spare_count;
static _Thread_local size_t spare_least;  // since arena_trim_spare: so many were needed by nobody

static struct arena_block *take_block(size_t size)
{
  struct arena_block *block = spare_blocks;
  if (block == NULL || size != BLOCK_BYTES) {
    block = malloc(size);
    CHECK(block != NULL);
    return block;
  }
  spare_blocks = block->next;
  spare_count--;
  if (spare_count < spare_least)
    spare_least = spare_count;
  return block;
}

size_t arena_trim_spare(void)
{
  size_t freed = spare_least;
  while (spare_count > 0 && spare_least > 0) {
    struct arena_block *block = spare_blocks;
    spare_blocks = block->next;
    spare_count--;
    spare_least--;
    free(block);
  }
  spare_least = spare_count;
  return freed * BLOCK_BYTES;
}

static void give_back_block(struct arena_block *block)
{
  if (block->size != BLOCK_BYTES || spare_count + 1 > MAX_SPARE_BLOCKS) {
    free(block);
    return;
  }
  block->next = spare_blocks;
  spare_blocks = block;
  spare_count++;
}

static struct arena_block *allocate_block(struct arena *arena, size_t size)
{
  struct arena_block *block = take_block(size);
  block->size = size;
  block->next = arena->blocks;
  arena->blocks = block;
  arena->allocated_bytes += size;
  poison_memory(block + 1, size - sizeof(*block));
  return block;
}

static void run_cleanups(struct arena *arena)
{
  // A cleanup may allocate and register another: each is taken off before it runs.
  while (arena->cleanups != NULL) {
    struct arena_cleanup *cleanup = arena->cleanups;
    arena->cleanups = cleanup->next;
    cleanup->run(cleanup->arg);
  }
}

// Frees all blocks except `keep`.
static void free_blocks(struct arena *arena, const struct arena_block *keep)
{
  struct arena_block *block = arena->blocks;
  while (block != NULL) {
    struct arena_block *next = block->next;
    if (block != keep)
      give_back_block(block);
    block = next;
  }
}

void arena_free(struct arena *arena)
{
  run_cleanups(arena);
  free_blocks(arena, NULL);
  arena_init(arena);
}

static void use_block(struct arena *arena, struct arena_block *block)
{
  arena->next = (char *)(block + 1);
  arena->end = (char *)block + block->size;
}

void arena_reset(struct arena *arena)
{
  run_cleanups(arena);
  struct arena_block *keep = arena->blocks;
  while (keep != NULL && keep->size != BLOCK_BYTES)
    keep = keep->next;
  free_blocks(arena, keep);
  arena_init(arena);
  if (keep == NULL)
    return;
  keep->next = NULL;
  arena->blocks = keep;
  arena->allocated_bytes = keep->size;
  poison_memory(keep + 1, keep->size - sizeof(*keep));
  use_block(arena, keep);
}

// Serves an allocation that does not fit into what the standard block has left. `size` is rounded up already.
static __attribute__((noinline)) void *alloc_slow(struct arena *arena, size_t size)
{
  if (size > (BLOCK_BYTES - sizeof(struct arena_block)) / 4)
    return allocate_block(arena, sizeof(struct arena_block) + size) + 1;
  use_block(arena, allocate_block(arena, BLOCK_BYTES));
  void *result = arena->next;
  arena->next += size;
  return result;
}

void *arena_alloc(struct arena *arena, size_t size)
{
  CHECK(size <= PTRDIFF_MAX - 4 * ALIGNMENT);
  // Size 0 takes a unit too, so that every pointer is its own.
  size_t rounded = ((size == 0 ? 1 : size) + RED_ZONE_BYTES + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
  void *result;
  if (rounded <= (size_t)((uintptr_t)arena->end - (uintptr_t)arena->next)) {
    result = arena->next;
    arena->next += rounded;
  } else {
    result = alloc_slow(arena, rounded);
  }
  unpoison_memory(result, size);
  return result;
}

void *arena_zalloc(struct arena *arena, size_t size)
{
  return memset(arena_alloc(arena, size), 0, size);
}

void *arena_array(struct arena *arena, size_t count, size_t size)
{
  size_t total = 0;
  CHECK(!__builtin_mul_overflow(count, size, &total));
  return arena_alloc(arena, total);
}

char *arena_string(struct arena *arena, struct slice text)
{
  char *copy = arena_alloc(arena, text.size + 1);
  if (text.size > 0)
    memcpy(copy, text.data, text.size);
  copy[text.size] = '\0';
  return copy;
}

struct slice arena_copy(struct arena *arena, struct slice bytes)
{
  char *copy = arena_alloc(arena, bytes.size);
  if (bytes.size > 0)
    memcpy(copy, bytes.data, bytes.size);
  return slice_make(copy, bytes.size);
}

char *arena_vprintf(struct arena *arena, const char *format, va_list args)
{
  // Most texts fit here and are formatted once.
  char text[256];
  va_list again;
  va_copy(again, args);
  int length = vsnprintf(text, sizeof(text), format, args);
  CHECK(length >= 0);
  char *result = arena_alloc(arena, (size_t)length + 1);
  if ((size_t)length < sizeof(text))
    memcpy(result, text, (size_t)length + 1);
  else
    vsnprintf(result, (size_t)length + 1, format, again);
  va_end(again);
  return result;
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
  va_list args;
  va_start(args, format);
  char *result = arena_vprintf(arena, format, args);
  va_end(args);
  return result;
}

void arena_on_free(struct arena *arena, void (*run)(void *arg), void *arg)
{
  struct arena_cleanup *cleanup = arena_alloc(arena, sizeof(*cleanup));
  *cleanup = (struct arena_cleanup){.next = arena->cleanups, .run = run, .arg = arg};
  arena->cleanups = cleanup;
}
