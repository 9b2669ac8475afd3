// The last words of a process. Each test lets a process of its own crash and reads what it wrote.
#include <criterion/criterion.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/strbuf.h"
#include "common/observe/crash.h"
#include "common/runtime/task.h"

#define PATIENCE_MS 60000

#if defined(__SANITIZE_ADDRESS__)
#define UNDER_ASAN 1
#else
#define UNDER_ASAN 0
#endif

static const struct log_context context = {.request_id = SLICE_INIT("r-4711"),
                                           .trace_id = SLICE_INIT("4bf92f3577b34da6a3ce929d0e0e4736"),
                                           .method = SLICE_INIT("item.v1.ItemService/GetItem")};

static void run_as_task(void (*crash)(void *arg))
{
  struct loop *loop = loop_create();
  task_start(loop, crash, loop, DEADLINE_NONE, &context);
  loop_run(loop);
}

static void read_to_end(int fd, struct strbuf *out)
{
  struct pollfd ready = {.fd = fd, .events = POLLIN};
  char buffer[4096];
  ssize_t count = 1;
  while (count > 0) {
    cr_assert_gt(poll(&ready, 1, PATIENCE_MS), 0, "the process neither ended nor said anything");
    count = read(fd, buffer, sizeof(buffer));
    if (count > 0)
      strbuf_add(out, slice_make(buffer, (size_t)count));
  }
}

// Runs `crash` as a task in a process of its own. Returns its wait status, and what it wrote in `out`.
static int read_last_words(void (*crash)(void *arg), struct strbuf *out)
{
  int ends[2];
  cr_assert_eq(pipe(ends), 0);
  pid_t pid = fork();
  cr_assert_neq(pid, -1);
  if (pid == 0) {
    // A process that dies on purpose leaves no core.
    setrlimit(RLIMIT_CORE, &(struct rlimit){0});
    dup2(ends[1], STDERR_FILENO);
    close(ends[0]);
    close(ends[1]);
    crash_report_install();
    run_as_task(crash);
    _exit(0);
  }
  close(ends[1]);
  strbuf_init(out, 0);
  read_to_end(ends[0], out);
  close(ends[0]);
  int status = 0;
  cr_assert_eq(waitpid(pid, &status, 0), pid);
  return status;
}

static void expect_report(void (*crash)(void *arg), int number, const char *name)
{
  struct strbuf out;
  int status = read_last_words(crash, &out);
  const char *text = strbuf_cstring(&out);
  const char *head = strstr(text, "crash: ");
  cr_assert_not_null(head, "%s", text);
  cr_expect_not_null(strstr(head, "in item.v1.ItemService/GetItem, request r-4711,"
                                  " trace 4bf92f3577b34da6a3ce929d0e0e4736\n"),
                     "%s", text);
  if (!UNDER_ASAN || number == SIGABRT) {
    cr_expect_eq(strncmp(head + 7, name, strlen(name)), 0, "%s", text);
    // A backtrace has lines with an address inside a program.
    cr_expect_not_null(strstr(head, "(+0x"), "%s", text);
    cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == number, "wait status %x: %s", (unsigned)status, text);
  }
  strbuf_free(&out);
}

static void write_to_null(void *arg)
{
  (void)arg;
  volatile uintptr_t address = 8;
  *(volatile int *)address = 1;
}

Test(crash, a_wild_pointer_is_reported_with_method_and_ids)
{
  expect_report(write_to_null, SIGSEGV, "SIGSEGV at address 0x8 ");
}

static void fail_check(void *arg)
{
  CHECK(arg == NULL);
}

Test(crash, a_failed_check_is_reported_with_method_and_ids)
{
  struct strbuf out;
  (void)read_last_words(fail_check, &out);
  cr_expect_not_null(strstr(strbuf_cstring(&out), "check failed: arg == NULL"));
  strbuf_free(&out);
  expect_report(fail_check, SIGABRT, "SIGABRT ");
}

static void send_a_signal(void *arg)
{
  (void)arg;
  raise(SIGFPE);
}

Test(crash, a_signal_that_was_sent_ends_the_process_all_the_same)
{
  expect_report(send_a_signal, SIGFPE, "SIGFPE ");
}

static void read_past_a_file(void *arg)
{
  (void)arg;
  char path[] = "/tmp/bulkhead-test-XXXXXX";
  int fd = mkstemp(path);
  unlink(path);
  volatile char *page = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
  (void)page[0];
}

Test(crash, a_bus_error_is_reported)
{
  expect_report(read_past_a_file, SIGBUS, "SIGBUS at address 0x");
}

// Not a tail call, and no variable that could be optimised away.
// NOLINTNEXTLINE(misc-no-recursion)
static int dig(volatile char *above, int depth)
{
  volatile char here[512];
  here[0] = above[0];
  if (depth < 0)
    return 0;
  return dig(here, depth + 1) + here[0] + depth;
}

static void overflow_stack(void *arg)
{
  (void)arg;
  volatile char start[1] = {1};
  dig(start, 0);
}

Test(crash, a_task_that_overflows_its_stack_is_reported)
{
  expect_report(overflow_stack, SIGSEGV, "SIGSEGV at address 0x");
}

static void *fault_in_thread(void *arg)
{
  write_to_null(arg);
  return NULL;
}

static void crash_in_new_thread(void *arg)
{
  pthread_t thread;
  cr_assert_eq(pthread_create(&thread, NULL, fault_in_thread, arg), 0);
  pthread_join(thread, NULL);
}

Test(crash, a_thread_that_has_never_logged_is_reported_without_ids)
{
  struct strbuf out;
  (void)read_last_words(crash_in_new_thread, &out);
  const char *text = strbuf_cstring(&out);
  const char *head = strstr(text, "crash: ");
  cr_assert_not_null(head, "%s", text);
  cr_expect_not_null(strstr(head, " outside tasks\n"), "%s", text);
  strbuf_free(&out);
}

static void end_well(void *arg)
{
  loop_stop(arg);
}

Test(crash, a_process_that_ends_well_says_nothing)
{
  struct strbuf out;
  int status = read_last_words(end_well, &out);
  cr_expect_eq(status, 0, "%s", strbuf_cstring(&out));
  cr_expect_eq(out.size, 0, "%s", strbuf_cstring(&out));
  strbuf_free(&out);
}
