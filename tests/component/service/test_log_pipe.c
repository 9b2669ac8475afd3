// A service whose standard error is a pipe, and what collects its log does not read.
#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "item/v1/item.pb-c.h"
#include "tests/component/service/probe.h"
#include "tests/component/service/probe_process.h"

#define LIST_ITEMS "item.v1.ItemService/ListItems"

// A failing call logs a line of some 300 bytes. FEW of them are more than the pipe holds, MANY are more than is kept.
enum { PIPE_BYTES = 4096, FEW = 100, MANY = 4000 };

static const struct rpc_context someone = {.request_id = SLICE_INIT("r-log"), .caller_id = SLICE_INIT("caller-1")};

static struct process probe;
static struct driver gateway;
static int reader;

static void setup(void)
{
  int ends[2];
  cr_assert_eq(pipe(ends), 0);
  cr_assert_geq(fcntl(ends[1], F_SETPIPE_SZ, PIPE_BYTES), PIPE_BYTES);
  cr_assert_eq(fcntl(ends[0], F_SETFD, FD_CLOEXEC), 0);
  reader = ends[0];
  char setting[64];
  snprintf(setting, sizeof(setting), PROBE_STDERR "=%d", ends[1]);
  probe_start(&probe, NULL, (const char *const[]){setting, NULL});
  close(ends[1]);
  driver_open(&gateway, probe.url, "gateway");
}

static void teardown(void)
{
  driver_close(&gateway);
  process_free(&probe);
  close(reader);
}

TestSuite(log_pipe, .init = setup, .fini = teardown, .timeout = 120);

static enum status call(char *what)
{
  Item__V1__ListItemsRequest request = ITEM__V1__LIST_ITEMS_REQUEST__INIT;
  request.q = what;
  return driver_call(&gateway, LIST_ITEMS, &request.base, &someone).status;
}

static void log_lines(int count)
{
  for (int i = 0; i < count; i++) {
    cr_assert_eq(call(PROBE_INTERNAL), STATUS_INTERNAL);
    // A client gives a method up that only fails.
    if (i % 10 == 0)
      cr_assert_eq(call(""), STATUS_OK);
  }
}

// Reads the log to its end, which comes when the process has ended.
static void *read_log(void *text)
{
  char buffer[4096];
  strbuf_init(text, 0);
  for (ssize_t count; (count = read(reader, buffer, sizeof(buffer))) > 0;)
    strbuf_add(text, slice_make(buffer, (size_t)count));
  return text;
}

static int count_failures(const char *text, const char *end)
{
  int count = 0;
  for (; (text = strstr(text, "\"requestId\":\"r-log\"")) != NULL && text < end; text++)
    count++;
  return count;
}

Test(log_pipe, a_service_whose_log_nobody_reads_goes_on)
{
  log_lines(MANY);
  cr_expect_eq(call(""), STATUS_OK);
  cr_expect_eq(process_stop(&probe), 0);
}

Test(log_pipe, at_the_end_all_that_was_kept_is_written)
{
  struct strbuf text;
  log_lines(FEW);
  kill(probe.pid, SIGTERM);
  read_log(&text);
  const char *end = strstr(strbuf_cstring(&text), "\"message\":\"stopped\"");
  cr_assert_not_null(end);
  cr_expect_eq(count_failures(strbuf_cstring(&text), end), FEW);
  cr_expect_eq(process_end(&probe), 0);
  strbuf_free(&text);
}

Test(log_pipe, a_crash_report_comes_behind_all_that_was_kept)
{
  struct strbuf text;
  pthread_t thread;
  log_lines(FEW);
  cr_assert_eq(pthread_create(&thread, NULL, read_log, &text), 0);
  cr_expect_eq(call(PROBE_CRASH), STATUS_UNAVAILABLE);
  pthread_join(thread, NULL);
  const char *crash = strstr(strbuf_cstring(&text), "crash: ");
  cr_assert_not_null(crash);
  cr_expect_not_null(strstr(crash, "request r-log"));
  cr_expect_eq(count_failures(strbuf_cstring(&text), crash), FEW);
  cr_expect_neq(process_end(&probe), 0);
  strbuf_free(&text);
}

Test(log_pipe, a_crash_that_nobody_reads_about_ends_the_process)
{
  log_lines(FEW);
  cr_expect_eq(call(PROBE_CHECK), STATUS_UNAVAILABLE);
  cr_expect_neq(process_end(&probe), 0);
}
