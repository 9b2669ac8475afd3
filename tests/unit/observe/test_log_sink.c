// The log when nobody reads it.
#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/observe/log.h"
#include "tests/support/common/read_metric.h"

// More than a pipe of 4 KiB and the queue hold together, at some 130 bytes a line.
enum { PIPE_BYTES = 4096, FEW = 1000, MANY = 20000 };

static FILE *reader;

static void use_as_standard_error(int fd)
{
  cr_assert_geq(dup2(fd, STDERR_FILENO), 0);
  close(fd);
}

static void log_to_pipe(void)
{
  int ends[2];
  cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
  cr_assert_geq(fcntl(ends[1], F_SETPIPE_SZ, PIPE_BYTES), PIPE_BYTES);
  reader = fdopen(ends[0], "r");
  use_as_standard_error(ends[1]);
}

static void log_lines(int first, int end)
{
  for (int i = first; i < end; i++)
    log_info("test", "line", LOG_INT("at", i));
}

// Reads one line, and waits for it.
static const char *read_line(void)
{
  static char line[20000];
  cr_assert_not_null(fgets(line, sizeof(line), reader));
  cr_assert_eq(line[0], '{', "%s", line);
  cr_assert_eq(line[strlen(line) - 1], '\n', "%s", line);
  return line;
}

// Returns the number behind `key` in a line; -1 where it has none.
static int64_t number_in(const char *line, const char *key)
{
  const char *at = strstr(line, key);
  return at == NULL ? -1 : strtoll(at + strlen(key), NULL, 10);
}

static int64_t dropped_counted(void)
{
  return read_metric(METRIC_LOG_DROPPED, NULL, 0);
}

// Reads the lines up to `end` and checks that each is there, in order, or counted in a line at its place. Returns how
// many are missing.
static int64_t expect_lines(int64_t end)
{
  int64_t missing = 0;
  for (int64_t next = 0; next < end;) {
    const char *line = read_line();
    int64_t dropped = number_in(line, "\"dropped\":");
    if (dropped > 0)
      cr_assert_not_null(strstr(line, "\"level\":\"warn\""));
    else
      cr_assert_eq(number_in(line, "\"at\":"), next, "%d expected: %s", (int)next, line);
    next += dropped > 0 ? dropped : 1;
    missing += dropped > 0 ? dropped : 0;
  }
  return missing;
}

Test(log_sink, a_pipe_that_nobody_reads_stops_nobody, .timeout = 60)
{
  log_to_pipe();
  log_lines(0, MANY);
  int64_t dropped = dropped_counted();
  cr_assert_gt(dropped, 0);
  cr_assert_eq(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK, 0, "others share the flag of standard error");
  cr_assert_eq(expect_lines(MANY), dropped);
}

Test(log_sink, what_a_reader_takes_late_is_complete, .timeout = 60)
{
  log_to_pipe();
  log_lines(0, FEW);
  cr_assert_eq(expect_lines(FEW), 0);
  cr_assert_eq(dropped_counted(), 0);
  log_lines(0, 3);
  cr_assert_eq(expect_lines(3), 0);
}

static void *log_all(void *arg)
{
  log_lines(0, MANY);
  return arg;
}

// A reader that is slower than the process for longer than the queue lasts misses lines, knows how many, and where.
Test(log_sink, a_slow_reader_knows_what_it_missed, .timeout = 60)
{
  log_to_pipe();
  pthread_t thread;
  cr_assert_eq(pthread_create(&thread, NULL, log_all, NULL), 0);
  int64_t missing = expect_lines(MANY);
  pthread_join(thread, NULL);
  cr_assert_eq(missing, dropped_counted());
}

Test(log_sink, a_socket_that_nobody_reads_stops_nobody, .timeout = 60)
{
  int ends[2];
  cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  reader = fdopen(ends[0], "r");
  use_as_standard_error(ends[1]);
  log_lines(0, MANY);
  cr_assert_gt(dropped_counted(), 0);
  cr_assert_eq(expect_lines(MANY), dropped_counted());
}

// Where root starts a process that gives up its rights, it may not open the pipe again.
Test(log_sink, a_pipe_of_somebody_else_stops_nobody, .timeout = 60)
{
  log_to_pipe();
  if (geteuid() == 0)
    cr_assert_eq(seteuid(65534), 0);
  log_lines(0, MANY);
  cr_assert_gt(dropped_counted(), 0);
  cr_assert_eq(expect_lines(MANY), dropped_counted());
}

Test(log_sink, long_lines_are_whole_behind_a_small_pipe, .timeout = 60)
{
  static char value[15000];
  memset(value, 'x', sizeof(value) - 1);
  log_to_pipe();
  for (int i = 0; i < 10; i++)
    log_info("test", "long", LOG_STRING("value", value), LOG_INT("at", i));
  cr_assert_eq(expect_lines(10), 0);
}

Test(log_sink, a_reader_that_is_gone_is_counted, .timeout = 60)
{
  signal(SIGPIPE, SIG_IGN);
  log_to_pipe();
  log_lines(0, FEW);
  fclose(reader);
  log_lines(0, 10);
  // The thread that writes what was kept may notice it later.
  uint64_t end_us = deadline_after_ms(clock_now_us(), 30000);
  while (dropped_counted() < 10 && clock_now_us() < end_us)
    sched_yield();
  cr_assert_geq(dropped_counted(), 10);
}

Test(log_sink, a_redirection_is_followed, .timeout = 60)
{
  log_to_pipe();
  log_lines(0, 1);
  cr_assert_eq(expect_lines(1), 0);
  log_to_pipe();
  log_lines(0, 1);
  cr_assert_eq(expect_lines(1), 0);
}

Test(log_sink, a_flush_waits_for_the_reader_but_not_for_ever, .timeout = 60)
{
  log_to_pipe();
  log_lines(0, FEW);
  log_flush(20);
  cr_assert_eq(expect_lines(FEW), 0);
  log_flush(20000);
}
