// Memory that is freed all at once: everything that one request allocates, in a few blocks.
#ifndef BULKHEAD_BASE_ARENA_H
#define BULKHEAD_BASE_ARENA_H

#include <stdarg.h>
#include <stddef.h>

#include "common/base/compiler.h"
#include "common/base/slice.h"

struct arena_block;
struct arena_cleanup;

// An arena lives where its owner puts it and belongs to one thread.
struct arena {
  struct arena_block *blocks;
  struct arena_cleanup *cleanups;
  char *next;
  char *end;
  size_t allocated_bytes;  // taken from malloc, all blocks together
};

// Makes an empty arena; a zeroed one is ready, too. Allocates nothing.
void arena_init(struct arena *arena);

// Runs the cleanups, the last registered first, and frees all memory. The arena is empty and usable afterwards.
void arena_free(struct arena *arena);

// Empties the arena as arena_free does, but keeps one standard block for the next user.
void arena_reset(struct arena *arena);

// Returns memory that is aligned for any type and not zeroed; size 0 gives a valid pointer. Never NULL: running out of
// memory aborts, as everywhere in the suite, because caps on input bound what one request can ask for.
void *arena_alloc(struct arena *arena, size_t size) __attribute__((malloc, alloc_size(2), returns_nonnull));
// Returns memory as arena_alloc does, but zeroed.
void *arena_zalloc(struct arena *arena, size_t size) __attribute__((malloc, alloc_size(2), returns_nonnull));
// Returns memory for `count` elements of `size` bytes, as arena_alloc does; an overflow of the product aborts (CHECK).
void *arena_array(struct arena *arena, size_t count, size_t size) __attribute__((malloc, returns_nonnull));

// Copies the text into the arena and returns the copy, terminated by a zero.
char *arena_string(struct arena *arena, struct slice text);
// Copies the bytes into the arena and returns the copy.
struct slice arena_copy(struct arena *arena, struct slice bytes);
// Formats a text like printf(3) into the arena and returns it, terminated by a zero.
char *arena_printf(struct arena *arena, const char *format, ...) PRINTF_LIKE(2, 3);
char *arena_vprintf(struct arena *arena, const char *format, va_list args) PRINTF_LIKE(2, 0);

// Registers a cleanup: `run(arg)` is called when the arena is freed or reset.
void arena_on_free(struct arena *arena, void (*run)(void *arg), void *arg);

// Frees the standard blocks that this thread keeps for its next arenas and has not needed since the last call. Returns
// how many bytes they had.
size_t arena_trim_spare(void);

#endif
