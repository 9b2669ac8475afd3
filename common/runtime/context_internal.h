// Private to common/runtime: switching the processor from one stack to another, and what the sanitizers must know of
// it.
#ifndef BULKHEAD_RUNTIME_CONTEXT_INTERNAL_H
#define BULKHEAD_RUNTIME_CONTEXT_INTERNAL_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__)
#define CONTEXT_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CONTEXT_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define CONTEXT_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CONTEXT_TSAN 1
#endif
#endif

// Where something stands that does not run now. Lives with its owner; must not move.
struct context {
  jmp_buf place;
  void (*run)(void *arg);  // NULL for the thread's own stack
  void *arg;
  struct context *caller;  // who switched here last
  bool entered;
  // For the sanitizers.
  const void *stack_bottom;
  size_t stack_size;
  void *fake_stack;
  void *fiber;
};

// The stack that the calling thread runs on.
void context_init_thread(struct context *context);
// A stack of its own: `run(arg)` each time it is switched to afresh, that is at first and whenever run has returned.
void context_init_stack(struct context *context, void *bottom, size_t size, void (*run)(void *arg), void *arg);
void context_free(struct context *context);

// Leaves `from`, which runs now, for `to`; returns when something switches to `from`. When `run` returns, the context
// goes back to its caller by itself.
void context_switch(struct context *from, struct context *to);

#endif
