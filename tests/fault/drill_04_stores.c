// Redis and PostgreSQL away, frozen, slow or empty.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "tests/fault/drill.h"
#include "tests/support/environment.h"
#include "tests/support/stack.h"

static void thaw(void)
{
  stack_signal("redis", SIGCONT);
  thaw_postgres();
}

TestSuite(drill_04_stores, .fini = thaw);

// ---- Redis ----

static void flush_redis(void)
{
  const char *command = text("REDISCLI_AUTH=%s redis-cli -s %s --user admin --no-auth-warning flushall",
                             secret_of_stack("redis_admin"), need_variable("BULKHEAD_REDIS_SOCKET"));
  cr_assert_str_eq(output_of((const char *const[]){"sh", "-c", command, NULL}), "OK\n");
}

// Lets Redis answer every half second only.
static void slow_redis_down(void *arg)
{
  atomic_bool *stopped = arg;
  while (!atomic_load(stopped)) {
    stack_signal("redis", SIGSTOP);
    usleep(500000);
    stack_signal("redis", SIGCONT);
    usleep(10000);
  }
}

Test(drill_04_stores, redis)
{
  struct drill *drill = drill_start("Redis killed, frozen, flushed, and slow by half a second");
  drill_break(drill);
  stack("kill", "redis");
  drill_endure(drill, 5);
  stack("start", "redis");
  drill_endure(drill, 3);
  stack_signal("redis", SIGSTOP);
  drill_endure(drill, 5);
  stack_signal("redis", SIGCONT);
  drill_endure(drill, 3);
  flush_redis();
  drill_endure(drill, 3);
  atomic_bool stopped = false;
  struct background *slow = background_start(slow_redis_down, &stopped);
  drill_endure(drill, 8);
  atomic_store(&stopped, true);
  background_join(slow);
  drill_mend(drill);
  drill_end(&drill, &(struct drill_goal){.text = "0 failed"});
}

// ---- PostgreSQL ----

// Not all reads: an item whose change was under way is not cached.
static const struct drill_goal without_postgres = {
    .text = "reads from the cache 0 failed; others 503 or 504 by their deadline; healthy <= 2 s after",
    .may_fail = DRILL_ALL,
    .to_be_spared = DRILL_STEADY_READS,
    .some_served = DRILL_STEADY_READS,
    .late_ms = 50,
    .recovery_ms = 2000,
};

Test(drill_04_stores, postgres_restarted)
{
  struct drill *drill = drill_start("PostgreSQL restarted");
  drill_break(drill);
  stack("stop", "postgres");
  drill_endure(drill, 2);
  drill_endure(drill, 3);
  drill_mend(drill);
  stack("start", "postgres");
  drill_end(&drill, &without_postgres);
}

Test(drill_04_stores, postgres_killed)
{
  struct drill *drill = drill_start("PostgreSQL killed");
  drill_break(drill);
  stack("kill", "postgres");
  drill_endure(drill, 4);
  drill_endure(drill, 4);
  drill_mend(drill);
  stack("start", "postgres");
  drill_end(&drill, &without_postgres);
}

Test(drill_04_stores, postgres_frozen)
{
  struct drill *drill = drill_start("PostgreSQL keeps its connections and does not answer");
  drill_break(drill);
  freeze_postgres();
  drill_endure(drill, 4);
  drill_endure(drill, 4);
  drill_mend(drill);
  thaw_postgres();
  drill_end(&drill, &without_postgres);
}
