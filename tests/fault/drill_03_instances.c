// Instances that crash or freeze: what one had to do, another does.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/compiler.h"
#include "tests/fault/drill.h"
#include "tests/support/environment.h"
#include "tests/support/http.h"
#include "tests/support/stack.h"

static const char *const both[] = {"item-1", "item-2"};

static void thaw(void)
{
  stack_signal("consul", SIGCONT);
  for (size_t i = 0; i < ARRAY_LEN(both); i++)
    stack_signal(both[i], SIGCONT);
}

TestSuite(drill_03_instances, .fini = thaw);

Test(drill_03_instances, one_of_two_is_killed)
{
  struct drill *drill = drill_start("kill -9 of one of two instances, of each in turn");
  drill_break(drill);
  for (size_t i = 0; i < ARRAY_LEN(both); i++) {
    stack("kill", both[i]);
    drill_endure(drill, 3);
    stack("start", both[i]);
    wait_until_healthy();
  }
  drill_end(&drill, &(struct drill_goal){
                        .text = "reads 0 failed; only writes in flight there that may not be repeated",
                        .may_fail = DRILL_CHANGES | DRILL_CREATES,
                    });
}

Test(drill_03_instances, the_only_one_is_killed)
{
  struct drill *drill = drill_start("kill -9 of the only instance of user");
  drill_break(drill);
  stack("kill", "user-1");
  drill_endure(drill, 5);
  drill_mend(drill);
  stack("start", "user-1");
  drill_end(&drill, &(struct drill_goal){
                        .text = "what needs it 503 within 50 ms, back within 1 s of its start",
                        .may_fail = DRILL_ACCOUNTS | DRILL_LOGINS,
                        .refusal_ms = 50,
                        .recovery_ms = 1000,
                    });
}

// ---- SIGSTOP ----

// Watches what arrives for a frozen process and is not read.
struct arrivals {
  atomic_bool stopped;
  unsigned port;
  uint64_t from_us,
      last_us;  // when it froze, and when the last request arrived; the latter is read once the watch has ended
};

// A request carries the token of its user and is never so short; what asks whether the process lives is.
enum { SHORTEST_REQUEST = 200, LOOK_EVERY_US = 10000, LEAVES_WITHIN_MS = 1000 };

// Takes the next number of base 16 from a line of /proc/net/tcp, and what separates it from the one behind it.
static size_t take_hex(const char **at)
{
  char *end;
  size_t number = strtoul(*at, &end, 16);
  *at = *end == '\0' ? end : end + 1;
  return number;
}

// Returns how many bytes wait for the process: at its port, and in the connections that lead to it. A line has a
// number, both addresses and ports, the state (1: established), and the bytes in both queues.
static size_t count_waiting(unsigned port)
{
  char line[256];
  size_t waiting = 0;
  FILE *table = fopen("/proc/net/tcp", "r");
  cr_assert_not_null(table);
  while (fgets(line, sizeof(line), table) != NULL) {
    const char *at = strstr(line, ": ");
    if (at == NULL)
      continue;
    at += 2;
    (void)take_hex(&at);
    size_t local = take_hex(&at);
    (void)take_hex(&at);
    size_t remote = take_hex(&at), state = take_hex(&at), sent = take_hex(&at), received = take_hex(&at);
    if (state == 1)
      waiting += (local == port ? received : 0) + (remote == port ? sent : 0);
  }
  fclose(table);
  return waiting;
}

static void watch_arrivals(void *arg)
{
  struct arrivals *arrivals = arg;
  size_t before = count_waiting(arrivals->port);
  arrivals->last_us = arrivals->from_us;
  while (!atomic_load(&arrivals->stopped)) {
    usleep(LOOK_EVERY_US);
    size_t waiting = count_waiting(arrivals->port);
    if (waiting >= before + SHORTEST_REQUEST)
      arrivals->last_us = clock_now_us();
    before = waiting;
  }
}

static unsigned port_of(const char *instance)
{
  const char *file = text("%s/%s.port", need_variable("BULKHEAD_RUN_DIR"), instance);
  return (unsigned)strtoul(output_of((const char *const[]){"cat", file, NULL}), NULL, 10);
}

// Freezes an instance for a while, and returns for how many milliseconds requests went to it.
static double freeze(const struct drill *drill, const char *instance)
{
  struct arrivals arrivals = {.port = port_of(instance)};
  stack_signal(instance, SIGSTOP);
  arrivals.from_us = clock_now_us();
  struct background *watch = background_start(watch_arrivals, &arrivals);
  drill_endure(drill, 8);
  atomic_store(&arrivals.stopped, true);
  background_join(watch);
  return (double)(arrivals.last_us - arrivals.from_us) / 1e3;
}

// Consul asks each instance every two seconds and would tell of it; here it cannot.
Test(drill_03_instances, one_of_two_freezes)
{
  double went_ms[ARRAY_LEN(both)];
  struct drill *drill = drill_start("SIGSTOP of one of two instances, of each in turn, Consul frozen, too");
  stack_signal("consul", SIGSTOP);
  for (size_t i = 0; i < ARRAY_LEN(both); i++) {
    drill_break(drill);
    went_ms[i] = freeze(drill, both[i]);
    drill_mend(drill);
    stack_signal(both[i], SIGCONT);
    drill_endure(drill, 3);
    if (went_ms[i] > LEAVES_WITHIN_MS)
      drill_miss(drill, "requests went to the frozen one for longer");
  }
  stack_signal("consul", SIGCONT);
  drill_note(drill, text("the last request reached the frozen one after %.0f and %.0f ms", went_ms[0], went_ms[1]));
  drill_end(&drill, &(struct drill_goal){
                        .text = "traffic leaves within 1 s; reads 0 failed; nothing past its deadline (5 s)",
                        .may_fail = DRILL_WRITES,
                        .late_ms = 50,
                        .settle_ms = 1000,
                    });
}
