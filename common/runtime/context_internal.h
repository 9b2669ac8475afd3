// Private to common/runtime: switches between stacks, and tells the sanitizers about it.
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

// The saved state of a stack that does not run now. It lives with its owner and must not move.
struct context {
  jmp_buf place;
  void (*run)(void *arg);  // NULL for the thread's own stack
  void *arg;
  struct context *caller;  // who switched here last
  bool entered;
  // The sanitizers need the bounds of the stack and handles of their own; without them these members are unused.
  const void *stack_bottom;
  size_t stack_size;
  void *fake_stack;
  void *fiber;
};

// Initialises the context of the stack that the calling thread runs on.
void context_init_thread(struct context *context);
// Initialises a context on memory of its own. `run(arg)` is called at the first switch to it, and again at the first
// switch after each return of `run`.
void context_init_stack(struct context *context, void *bottom, size_t size, void (*run)(void *arg), void *arg);
// Frees what the sanitizers keep of a context; its memory stays the caller's.
void context_free(struct context *context);

// Switches from `from`, which runs now, to `to`; returns when something switches back to `from`. When the `run` of a
// context returns, its caller is switched to.
void context_switch(struct context *from, struct context *to);

#endif
