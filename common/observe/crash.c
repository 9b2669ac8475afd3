// Everything from the signal on is async-signal-safe: no allocation, no stdio, no lock. The log context is in
// thread-local memory that every thread has from its start (see log.c). backtrace() loads libgcc at its first call, so
// that call is made when the report is installed.
#include "common/observe/crash.h"

#include <execinfo.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/observe/log.h"

#if defined(__SANITIZE_ADDRESS__)
#define CRASH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CRASH_ASAN 1
#endif
#endif
#ifdef CRASH_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

enum {
  MAX_FRAMES = 64,
  STACK_BYTES = 64 * 1024,
  HEAD_BYTES = 1024,
  REPORT_SECONDS = 2,
};

static const struct {
  int number;
  const char *name;
} reported[] = {
    {SIGABRT, "SIGABRT"},
#ifndef CRASH_ASAN
    // AddressSanitizer's own handlers of these tell more.
    {SIGSEGV, "SIGSEGV"},
    {SIGBUS, "SIGBUS"},
    {SIGFPE, "SIGFPE"},
    {SIGILL, "SIGILL"},
#endif
};

static char signal_stack[STACK_BYTES] __attribute__((aligned(16), unused));

// The first line of the report while it is written; what does not fit is left out.
struct head {
  char text[HEAD_BYTES];
  size_t size;
};

static void add_bytes(struct head *head, const char *bytes, size_t size)
{
  size_t room = sizeof(head->text) - head->size;
  if (size > room)
    size = room;
  // NOLINTNEXTLINE(bugprone-not-null-terminated-result): its size is kept
  memcpy(head->text + head->size, bytes, size);
  head->size += size;
}

static void add_string(struct head *head, const char *text)
{
  add_bytes(head, text, strlen(text));
}

static void add_address(struct head *head, const void *address)
{
  static const char digits[] = "0123456789abcdef";
  char text[2 * sizeof(address)];
  uintptr_t rest = (uintptr_t)address;
  size_t at = sizeof(text);
  do
    text[--at] = digits[rest & 15];
  while ((rest >>= 4) != 0);
  add_string(head, "0x");
  add_bytes(head, text + at, sizeof(text) - at);
}

static void add_id(struct head *head, const char *name, struct slice id)
{
  if (id.size == 0)
    return;
  add_string(head, name);
  add_bytes(head, id.data, id.size);
}

static void add_context(struct head *head)
{
  const struct log_context *context = log_get_context();
  if (context == NULL) {
    add_string(head, " outside tasks");
    return;
  }
  add_id(head, " in ", context->method);
  add_id(head, ", request ", context->request_id);
  add_id(head, ", trace ", context->trace_id);
}

// Bounds the time of the report, which waits for whoever reads standard error: SIGALRM ends the process if nobody does.
static void bound_report(unsigned seconds)
{
  sigset_t alarms;
  sigemptyset(&alarms);
  sigaddset(&alarms, SIGALRM);
  signal(SIGALRM, SIG_DFL);
  pthread_sigmask(SIG_UNBLOCK, &alarms, NULL);
  alarm(seconds);
}

static void write_head(struct head *head)
{
  if (head->size == sizeof(head->text))
    head->size--;
  head->text[head->size++] = '\n';
  // A failed write is ignored: there is no other place to report to.
  if (write(STDERR_FILENO, head->text, head->size) < 0)
    return;
}

static void write_backtrace(void)
{
  void *frames[MAX_FRAMES] = {0};
  backtrace_symbols_fd(frames, backtrace(frames, MAX_FRAMES), STDERR_FILENO);
}

static const char *find_signal_name(int number)
{
  for (size_t i = 0; i < ARRAY_LEN(reported); i++)
    if (reported[i].number == number)
      return reported[i].name;
  return "a signal";
}

// Handles the signal. SA_RESETHAND has restored the default action by now: when the handler returns, a fault happens
// again and ends the process with its own signal and core. A signal that another process or abort() sent is raised
// again.
static void report_crash(int number, siginfo_t *info, void *machine_context)
{
  (void)machine_context;
  struct head head = {.size = 0};
  add_string(&head, "crash: ");
  add_string(&head, find_signal_name(number));
  bool is_fault = info->si_code > 0;
  if (is_fault) {
    add_string(&head, " at address ");
    add_address(&head, info->si_addr);
  }
  add_context(&head);
  bound_report(REPORT_SECONDS);
  log_flush_at_crash();
  write_head(&head);
  write_backtrace();
  bound_report(0);
  if (!is_fault)
    raise(number);
}

#ifdef CRASH_ASAN
static void report_after_asan(void)
{
  struct head head = {.size = 0};
  add_string(&head, "crash: reported by a sanitizer");
  add_context(&head);
  bound_report(REPORT_SECONDS);
  log_flush_at_crash();
  write_head(&head);
  bound_report(0);
}
#endif

void crash_report_install(void)
{
  void *frame;
  (void)backtrace(&frame, 1);
#ifdef CRASH_ASAN
  // AddressSanitizer has set up a signal stack already.
  __sanitizer_set_death_callback(report_after_asan);
#else
  const stack_t stack = {.ss_sp = signal_stack, .ss_size = sizeof(signal_stack)};
  CHECK(sigaltstack(&stack, NULL) == 0);
#endif
  struct sigaction action = {.sa_sigaction = report_crash, .sa_flags = (int)(SA_SIGINFO | SA_ONSTACK | SA_RESETHAND)};
  sigemptyset(&action.sa_mask);
  for (size_t i = 0; i < ARRAY_LEN(reported); i++)
    CHECK(sigaction(reported[i].number, &action, NULL) == 0);
}
