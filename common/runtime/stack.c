// Stacks come from mmap. The guard is as large as the stack, because a function with a big array must not be able to
// step over it; untouched memory costs address space only. Each stack takes two of the kernel's vm.max_map_count areas
// (65,530 by default), which allows some 32,000 tasks at a time.
#include "common/runtime/stack_internal.h"

#include <sys/mman.h>

#include "common/base/check.h"
#include "common/runtime/context_internal.h"

#ifdef CONTEXT_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/lsan_interface.h>
#endif

enum {
// Sanitizers put red zones and shadow frames on the stack.
#if defined(CONTEXT_ASAN) || defined(CONTEXT_TSAN)
  STACK_SIZE = 256 * 1024,
#else
  STACK_SIZE = 64 * 1024,
#endif
  GUARD_SIZE = 64 * 1024,
};

struct stack stack_map(void)
{
  char *memory = mmap(NULL, GUARD_SIZE + STACK_SIZE, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  CHECK(memory != MAP_FAILED);
  CHECK(mprotect(memory, GUARD_SIZE, PROT_NONE) == 0);
  struct stack stack = {.bottom = memory + GUARD_SIZE, .size = STACK_SIZE};
#ifdef CONTEXT_ASAN
  // Memory of an earlier stack that was unmapped in the middle of a function still has its poisoned red zones.
  __asan_unpoison_memory_region(stack.bottom, stack.size);
  // A waiting task may hold the only pointer to its memory.
  __lsan_register_root_region(stack.bottom, stack.size);
#endif
  return stack;
}

void stack_unmap(struct stack stack)
{
#ifdef CONTEXT_ASAN
  __lsan_unregister_root_region(stack.bottom, stack.size);
#endif
  CHECK(munmap(stack.bottom - GUARD_SIZE, GUARD_SIZE + stack.size) == 0);
}
