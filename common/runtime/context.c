// The first switch to a stack is a setcontext, which makes a system call for the signal mask. Every later switch is a
// _setjmp and a _longjmp, without a system call. A stack whose `run` has returned stays inside context_main, so that it
// can be used again without another setcontext. deploy/debug/bulkhead-gdb.py reads `place` to show where tasks wait.

// The fortified longjmp would abort at a jump to another stack.
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

// Marks functions that switch stacks. They are entered on one stack and left on another, or never, so sanitizers must
// neither put their variables on a fake stack, nor poison around them, nor record their calls.
#if defined(CONTEXT_ASAN)
#define NOT_INSTRUMENTED __attribute__((no_sanitize_address))
#elif defined(CONTEXT_TSAN) && defined(__clang__)
#define NOT_INSTRUMENTED __attribute__((disable_sanitizer_instrumentation))
#elif defined(CONTEXT_TSAN)
#define NOT_INSTRUMENTED __attribute__((no_sanitize_thread))
#else
#define NOT_INSTRUMENTED
#endif

// AddressSanitizer's longjmp unpoisons the whole stack that it leaves, so tasks would go unchecked after their first
// wait. The compiler's built-in longjmp avoids that.
#ifdef CONTEXT_ASAN
#define PLACE_SAVE(place) __builtin_setjmp((void **)(void *)(place))
#define PLACE_JUMP(place) __builtin_longjmp((void **)(void *)(place), 1)
#else
#define PLACE_SAVE(place) _setjmp(place)
#define PLACE_JUMP(place) _longjmp(place, 1)
#endif

// Hands the context that is being entered to context_main, whose arguments could only be ints.
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
  // This call also tells us the bounds of the thread's own stack.
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

NO_RETURN NOT_INSTRUMENTED static void enter_stack(struct context *to)
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

// Separate from context_jump because __builtin_longjmp must not be in the function that calls __builtin_setjmp.
NO_RETURN NOT_INSTRUMENTED static __attribute__((noinline)) void jump_to(struct context *to)
{
  if (!to->entered)
    enter_stack(to);
  PLACE_JUMP(to->place);
}

NOT_INSTRUMENTED static void context_jump(struct context *from, struct context *to, bool for_good)
{
  if (PLACE_SAVE(from->place) == 0) {
    announce_leave(from, to, for_good);
    jump_to(to);
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
