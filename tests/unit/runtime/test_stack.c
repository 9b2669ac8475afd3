#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "common/runtime/context_internal.h"
#include "tests/support/common/yield_task.h"
#include "tests/unit/runtime/in_task.h"

// Fills `size` bytes of the stack, lets others run, and looks whether they are still there.
static void __attribute__((noinline)) use_stack(size_t size, unsigned char pattern)
{
  volatile unsigned char bytes[4096];
  for (size_t i = 0; i < sizeof bytes; i++)
    bytes[i] = pattern;
  if (size > sizeof bytes)
    use_stack(size - sizeof bytes, (unsigned char)(pattern + 1));
  else
    yield_task();
  for (size_t i = 0; i < sizeof bytes; i++)
    cr_assert_eq(bytes[i], pattern);
}

struct deep {
  unsigned char pattern;
  int *ended;
};

static void go_deep(void *arg)
{
  struct deep *deep = arg;
  // 64 KiB less what frames, red zones and the test macros take.
  use_stack((size_t)44 * 1024, deep->pattern);
  ++*deep->ended;
}

TASK_TEST(stack, most_of_it_can_be_used_by_many_at_a_time)
{
  int ended = 0;
  struct deep deep[10];
  for (int round = 0; round < 3; round++) {
    ended = 0;
    for (int i = 0; i < 10; i++) {
      deep[i] = (struct deep){.pattern = (unsigned char)(i * 20), .ended = &ended};
      task_start(task_loop(), go_deep, &deep[i], DEADLINE_NONE, NULL);
    }
    yield_task();
    cr_assert_eq(ended, 0);
    yield_task();
    cr_assert_eq(ended, 10);
  }
}

// The sanitizers' own handlers cannot run on a stack that is used up, or end the process in their own way.
#if !defined(CONTEXT_ASAN) && !defined(CONTEXT_TSAN)

static int __attribute__((noinline)) recurse(int depth)
{
  volatile char frame[512];
  frame[0] = (char)depth;
  if (depth == INT32_MAX)
    return 0;
  return recurse(depth + 1) + frame[0];
}

static void overflow(void)
{
  (void)recurse(0);
}

Test(stack, an_overflow_is_a_crash, .signal = SIGSEGV)
{
  run_in_task(overflow);
}

static void __attribute__((noinline)) step_far(void)
{
  volatile char large[100 * 1024];
  large[0] = 1;
  (void)large[0];
}

Test(stack, a_frame_larger_than_the_stack_hits_the_guard, .signal = SIGSEGV)
{
  run_in_task(step_far);
}

#endif

#ifdef CONTEXT_ASAN

// Red zones that were laid before a switch must be there after it.
static void write_behind(void)
{
  // The report of the overflow is expected; it would mislead a reader of the log.
  int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
  cr_assert_geq(dup2(null, STDERR_FILENO), 0);
  volatile char bytes[16] = {0};
  volatile char *volatile at = bytes;
  yield_task();
  at[sizeof bytes] = 1;
}

Test(stack, the_address_sanitizer_sees_errors_in_tasks, .exit_code = 1)
{
  run_in_task(write_behind);
}

#endif
