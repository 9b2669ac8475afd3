// What an engineer sees of a service in trouble: its tasks at the admin port and in gdb, and its last words.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "item/v1/item.pb-c.h"
#include "tests/component/service/probe.h"
#include "tests/component/service/probe_process.h"

#define LIST_ITEMS "item.v1.ItemService/ListItems"
#define TRACE "0af7651916cd43dd8448eb211c80319c"
#define FAIL_ON_PURPOSE "BULKHEAD_FAIL_ON_PURPOSE"

static const struct rpc_context someone = {
    .request_id = SLICE_INIT("r-debug"),
    .traceparent = SLICE_INIT("00-" TRACE "-b7ad6b7169203331-01"),
    .caller_id = SLICE_INIT("caller-1"),
};

static struct process probe;
static struct driver gateway;

static void setup(void)
{
  probe_open(&probe, &gateway, NULL);
}

static void teardown(void)
{
  driver_close(&gateway);
  process_free(&probe);
}

// Stops the probe as its clients see it: they answer its goodbye, which it would else wait for.
static int stop_probe(void)
{
  kill(probe.pid, SIGTERM);
  driver_wait_lost(&gateway);
  return process_end(&probe);
}

TestSuite(debugging, .init = setup, .fini = teardown);

static void begin(char *what, struct outcome *outcome)
{
  Item__V1__ListItemsRequest request = ITEM__V1__LIST_ITEMS_REQUEST__INIT;
  request.q = what;
  driver_begin(&gateway, LIST_ITEMS, driver_pack(&gateway, &request.base), &someone, 60000, outcome);
}

Test(debugging, the_admin_port_lists_the_tasks)
{
  struct outcome held;
  begin(PROBE_HOLD, &held);
  process_wait_http(&probe, "/debug/tasks", "\"method\":\"" LIST_ITEMS "\",\"state\":\"waiting\"");
  struct strbuf answer;
  strbuf_init(&answer, 0);
  const char *text = process_http(&probe, "GET /debug/tasks HTTP/1.0\r\n\r\n", &answer);
  cr_expect_not_null(strstr(text, "Content-Type: application/json"), "%s", text);
  // Five tasks are listed: the call, the probe's background task, the sweep of Idempotency-Keys, and two of the jobs.
  cr_expect_not_null(strstr(text, "{\"count\":5,\"tasks\":["), "%s", text);
  const char *call = strstr(text, LIST_ITEMS);
  cr_assert_not_null(call, "%s", text);
  cr_expect_not_null(strstr(call, "\"waitingFor\":\"the end of a pause\""), "%s", text);
  cr_expect_not_null(strstr(call, "\"deadlineMs\":"), "%s", text);
  cr_expect_not_null(strstr(call, "\"requestId\":\"r-debug\",\"traceId\":\"" TRACE "\""), "%s", text);
  cr_expect_not_null(strstr(text, "\"method\":\"background\""), "%s", text);
  strbuf_free(&answer);
  probe_release(&probe);
  driver_finish(&gateway, &held);
  process_wait_http(&probe, "/debug/tasks", "\"count\":4,");
  cr_expect_eq(stop_probe(), 0);
}

Test(debugging, gdb_lists_the_tasks_with_their_backtraces)
{
  struct outcome held;
  begin(PROBE_HOLD, &held);
  process_wait_http(&probe, "/debug/tasks", LIST_ITEMS);
  struct process gdb;
  char pid[16];
  snprintf(pid, sizeof(pid), "%d", (int)probe.pid);
  process_prepare(&gdb);
  process_launch(
      &gdb, "gdb",
      (char *[]){"gdb", "-nx", "-batch", "-p", pid, "-x", "deploy/debug/bulkhead-gdb.py", "-ex", "tasks", NULL},
      (const char *const[]){"DEBUGINFOD_URLS=", "LD_PRELOAD=", NULL});
  cr_expect_eq(process_end(&gdb), 0);
  EXPECT_OUTPUT(gdb, LIST_ITEMS ", waiting for the end of a pause, deadline in ");
  EXPECT_OUTPUT(gdb, "request r-debug, trace " TRACE);
  EXPECT_OUTPUT(gdb, "hold at tests/component/service/probe.c:");
  EXPECT_OUTPUT(gdb, "run_call");
  EXPECT_OUTPUT(gdb, "tick at tests/component/service/probe.c:");
  EXPECT_OUTPUT(gdb, "5 of 5 tasks");
  EXPECT_NO_OUTPUT(gdb, "Python Exception");
  process_free(&gdb);
  // The process goes on afterwards.
  probe_release(&probe);
  driver_finish(&gateway, &held);
  cr_expect_eq(held.status, STATUS_OK);
  cr_expect_eq(stop_probe(), 0);
}

static void expect_last_words(char *what)
{
  struct outcome lost;
  begin(what, &lost);
  driver_finish(&gateway, &lost);
  cr_expect_eq(lost.status, STATUS_UNAVAILABLE);
  cr_expect_neq(process_end(&probe), 0);
  EXPECT_OUTPUT(probe, "crash: ");
  EXPECT_OUTPUT(probe, " in " LIST_ITEMS ", request r-debug, trace " TRACE "\n");
}

Test(debugging, a_wild_pointer_tells_which_request_it_hit)
{
  expect_last_words(PROBE_CRASH);
}

Test(debugging, a_failed_check_tells_which_request_it_hit)
{
  expect_last_words(PROBE_CHECK);
  EXPECT_OUTPUT(probe, "check failed: ");
}

// Fails on purpose, but only where the next test starts it.
Test(debugging, sometimes_fails)
{
  struct outcome done;
  begin(PROBE_INTERNAL, &done);
  driver_finish(&gateway, &done);
  cr_assert_null(getenv(FAIL_ON_PURPOSE));
  cr_expect_eq(stop_probe(), 0);
  EXPECT_OUTPUT(probe, "\"requestId\":\"r-debug\",\"traceId\":\"" TRACE "\"");
}

Test(debugging, a_test_that_fails_shows_the_log_of_its_service)
{
  struct process tests;
  process_prepare(&tests);
  process_launch(&tests, "/proc/self/exe", (char *[]){"tests", "--filter", "debugging/sometimes_fails", NULL},
                 // Without BXFI_MAP it is a test runner, not one of this runner's workers.
                 (const char *const[]){FAIL_ON_PURPOSE "=1", "BXFI_MAP", NULL});
  cr_expect_neq(process_end(&tests), 0);
  EXPECT_OUTPUT(tests, "what a process of debugging::sometimes_fails said");
  // The output of the service is shown, its last line included.
  EXPECT_OUTPUT(tests, "\"service\":\"probe\"");
  EXPECT_OUTPUT(tests, "\"message\":\"a call failed\"");
  process_free(&tests);
  cr_expect_eq(stop_probe(), 0);
}
