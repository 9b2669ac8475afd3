// Private to common/runtime: memory for stacks, with a guard below that ends the process when a stack overflows.
#ifndef BULKHEAD_RUNTIME_STACK_INTERNAL_H
#define BULKHEAD_RUNTIME_STACK_INTERNAL_H

#include <stddef.h>

struct stack {
  char *bottom;  // the lowest usable byte
  size_t size;
};

// Maps a zeroed stack, which takes no resident memory until it is touched.
struct stack stack_map(void);
void stack_unmap(struct stack stack);

#endif
