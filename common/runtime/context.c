// A stack is entered for the first time by setcontext, which costs a system call for the signal mask; every later
// switch is a _setjmp and a _longjmp, which do not. A stack whose `run` has returned stays inside context_main and is
// used again without a new entry.

// The fortified longjmp takes a jump to another stack for an attack.
#undef _FORTIFY_SOURCE

#include "common/runtime/context_internal.h"

#include <ucontext.h>

#include "common/base/check.h"

#ifdef CONTEXT_ASAN
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef CONTEXT_TSAN
#include <sanitizer/tsan_interface.h>
#endif

// The functions that switch are entered on one stack and left on another, or never, and the fake stack of
// AddressSanitizer is given up while they are still active: they must have no variables there, no red zones, and no
// entry in ThreadSanitizer's record of calls.
#if defined(CONTEXT_ASAN)
#define NOT_INSTRUMENTED __attribute__((no_sanitize_address))
#elif defined(CONTEXT_TSAN) && defined(__clang__)
#define NOT_INSTRUMENTED __attribute__((disable_sanitizer_instrumentation))
#elif defined(CONTEXT_TSAN)
#define NOT_INSTRUMENTED __attribute__((no_sanitize_thread))
#else
#define NOT_INSTRUMENTED
#endif

// AddressSanitizer's own longjmp forgets all red zones of the stack that it leaves, so tasks would go unwatched after
// their first wait; the compiler's built-in one passes it by.
#ifdef CONTEXT_ASAN
#define PLACE_MARK(place) __builtin_setjmp((void **)(void *)(place))
#define PLACE_LEAP(place) __builtin_longjmp((void **)(void *)(place), 1)
#else
#define PLACE_MARK(place) _setjmp(place)
#define PLACE_LEAP(place) _longjmp(place, 1)
#endif

// The context that is being entered, for context_main, whose arguments can only be ints.
static _Thread_local struct context *arriving;

NOT_INSTRUMENTED static void announce_leave(struct context *from, struct context *to, bool for_good)
{
  to->caller = from;
  arriving = to;
#ifdef CONTEXT_ASAN
  __sanitizer_start_switch_fiber(for_good ? NULL : &from->fake_stack, to->stack_bottom, to->stack_size);
  if (for_good)
    from->fake_stack = NULL;
#endif
#ifdef CONTEXT_TSAN
  __tsan_switch_to_fiber(to->fiber, 0);
#endif
  (void)for_good;
}

NOT_INSTRUMENTED static void announce_arrival(struct context *here)
{
#ifdef CONTEXT_ASAN
  // This is also how the bounds of the thread's own stack become known.
  __sanitizer_finish_switch_fiber(here->fake_stack, &here->caller->stack_bottom, &here->caller->stack_size);
#endif
  (void)here;
}

NOT_INSTRUMENTED static void context_jump(struct context *from, struct context *to, bool for_good);

NOT_INSTRUMENTED static void context_main(void)
{
  struct context *self = arriving;
  announce_arrival(self);
  for (;;) {
    self->run(self->arg);
    context_jump(self, self->caller, true);
  }
}

NO_RETURN NOT_INSTRUMENTED static void enter(struct context *to)
{
  ucontext_t entry;
  to->entered = true;
  // cppcheck-suppress getcontextCalled
  CHECK(getcontext(&entry) == 0);
  entry.uc_stack.ss_sp = (void *)to->stack_bottom;
  entry.uc_stack.ss_size = to->stack_size;
  entry.uc_link = NULL;
  // cppcheck-suppress makecontextCalled
  makecontext(&entry, context_main, 0);
  setcontext(&entry);
  check_failed("setcontext", __FILE__, __LINE__);
}

// A function of its own, for the built-in may not leap where it marks.
NO_RETURN NOT_INSTRUMENTED static __attribute__((noinline)) void leap(struct context *to)
{
  if (!to->entered)
    enter(to);
  PLACE_LEAP(to->place);
}

NOT_INSTRUMENTED static void context_jump(struct context *from, struct context *to, bool for_good)
{
  if (PLACE_MARK(from->place) == 0) {
    announce_leave(from, to, for_good);
    leap(to);
  }
  announce_arrival(from);
}

NOT_INSTRUMENTED void context_switch(struct context *from, struct context *to)
{
  context_jump(from, to, false);
}

void context_init_thread(struct context *context)
{
  *context = (struct context){.entered = true};
#ifdef CONTEXT_TSAN
  context->fiber = __tsan_get_current_fiber();
#endif
}

void context_init_stack(struct context *context, void *bottom, size_t size, void (*run)(void *arg), void *arg)
{
  *context = (struct context){.run = run, .arg = arg, .stack_bottom = bottom, .stack_size = size};
#ifdef CONTEXT_TSAN
  context->fiber = __tsan_create_fiber(0);
#endif
}

void context_free(struct context *context)
{
#ifdef CONTEXT_TSAN
  if (context->run != NULL)
    __tsan_destroy_fiber(context->fiber);
#endif
  context->run = NULL;
}
