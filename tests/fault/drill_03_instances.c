// Instances that crash or freeze: what one had to do, another does.
#include <criterion/criterion.h>
#include <signal.h>

#include "common/base/compiler.h"
#include "tests/fault/drill.h"
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

// Consul asks each instance every two seconds and would tell of it; here it cannot.
Test(drill_03_instances, one_of_two_freezes)
{
  struct drill *drill = drill_start("SIGSTOP of one of two instances, of each in turn, Consul frozen, too");
  drill_break(drill);
  stack_signal("consul", SIGSTOP);
  for (size_t i = 0; i < ARRAY_LEN(both); i++) {
    stack_signal(both[i], SIGSTOP);
    drill_endure(drill, 8);
    stack_signal(both[i], SIGCONT);
    drill_endure(drill, 3);
  }
  stack_signal("consul", SIGCONT);
  drill_mend(drill);
  drill_end(&drill, &(struct drill_goal){
                        .text = "reads 0 failed; nothing past its deadline (5 s)",
                        .may_fail = DRILL_WRITES,
                        .slowest_ms = 5050,
                    });
}
