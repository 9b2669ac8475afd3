// Packets that are lost between processes that run: nothing is closed or refused, nothing comes any more. The stack of
// `make fault` has a network of its own, in which instances and PostgreSQL get hosts of theirs (network.h); elsewhere
// these are skipped.
#include <criterion/criterion.h>
#include <stdlib.h>

#include "common/base/compiler.h"
#include "tests/fault/drill.h"
#include "tests/support/http.h"
#include "tests/support/network.h"
#include "tests/support/stack.h"

// Hosts.
enum { ITEM_HOST = 1, POSTGRES_HOST = 3 };

static const char *const instances[] = {"item-1", "item-2"};

// The settings that this process was given in its host; NULL or "" to take them away.
static void set(const char *name, const char *value)
{
  cr_assert_eq(setenv(name, value, 1), 0);
}

// ---- instances in hosts of their own ----

static unsigned host_of(size_t instance)
{
  return ITEM_HOST + (unsigned)instance;
}

static void move_instance(size_t i)
{
  network_add_host(host_of(i));
  set("RPC_LISTEN", text("tcp://%s:7000", network_address_of(host_of(i))));
  set("ADMIN_LISTEN", text("%s:7001", network_address_of(host_of(i))));
  network_stack(host_of(i), "restart", instances[i]);
}

static void move_instances_back(void)
{
  if (getenv("RPC_LISTEN") == NULL)
    return;
  // Empty: what was kept for the process is taken away.
  set("RPC_LISTEN", "");
  set("ADMIN_LISTEN", "");
  for (size_t i = 0; i < ARRAY_LEN(instances); i++) {
    stack("restart", instances[i]);
    network_remove_host(host_of(i));
  }
  unsetenv("RPC_LISTEN");
  unsetenv("ADMIN_LISTEN");
}

// ---- PostgreSQL in a host of its own ----

static void restart_instances(void)
{
  for (size_t i = 0; i < ARRAY_LEN(instances); i++)
    stack("restart", instances[i]);
}

// Makes the item services reach PostgreSQL at its host.
static void move_postgres(void)
{
  network_add_host(POSTGRES_HOST);
  set("BULKHEAD_PG_LISTEN", network_address_of(POSTGRES_HOST));
  stack("stop", "postgres");
  network_stack(POSTGRES_HOST, "start", "postgres");
  set("BULKHEAD_PG_PLACE", text("host=%s", network_address_of(POSTGRES_HOST)));
  restart_instances();
}

static void move_postgres_back(void)
{
  if (getenv("BULKHEAD_PG_PLACE") == NULL)
    return;
  unsetenv("BULKHEAD_PG_LISTEN");
  unsetenv("BULKHEAD_PG_PLACE");
  stack("stop", "postgres");
  network_remove_host(POSTGRES_HOST);
  stack("start", "postgres");
  restart_instances();
}

static void heal(void)
{
  if (!network_is_own())
    return;
  move_instances_back();
  move_postgres_back();
}

static void skip_elsewhere(void)
{
  if (!network_is_own())
    cr_skip_test("packets are lost in a network of its own only, which `make fault` makes where root runs it");
}

TestSuite(drill_05_partitions, .init = skip_elsewhere, .fini = heal);

// ---- drills ----

// The methods of these requests have the time limit that a contract has without a word, 5 s.
#define AT_THE_DEADLINE "answers at the deadline (5 s) + 50 ms, back <= 2 s"

Test(drill_05_partitions, gateway_and_one_of_two_instances)
{
  move_instance(0);
  struct drill *drill = drill_start("the host of one of two instances cut off");
  drill_break(drill);
  network_cut(host_of(0));
  drill_endure(drill, 10);
  drill_mend(drill);
  network_join(host_of(0));
  drill_end(&drill, &(struct drill_goal){
                        .text = "reads 0 failed; " AT_THE_DEADLINE,
                        .may_fail = DRILL_WRITES,
                        .late_ms = 50,
                        .recovery_ms = 2000,
                    });
}

Test(drill_05_partitions, gateway_and_both_instances)
{
  for (size_t i = 0; i < ARRAY_LEN(instances); i++)
    move_instance(i);
  struct drill *drill = drill_start("the hosts of both instances cut off");
  drill_break(drill);
  for (size_t i = 0; i < ARRAY_LEN(instances); i++)
    network_cut(host_of(i));
  drill_endure(drill, 10);
  drill_mend(drill);
  for (size_t i = 0; i < ARRAY_LEN(instances); i++)
    network_join(host_of(i));
  drill_end(&drill, &(struct drill_goal){
                        .text = AT_THE_DEADLINE,
                        .may_fail = DRILL_READS | DRILL_WRITES,
                        .late_ms = 50,
                        .recovery_ms = 2000,
                    });
}

Test(drill_05_partitions, services_and_postgresql)
{
  move_postgres();
  struct drill *drill = drill_start("the host of PostgreSQL cut off from the item services");
  drill_break(drill);
  network_cut(POSTGRES_HOST);
  drill_endure(drill, 10);
  drill_mend(drill);
  network_join(POSTGRES_HOST);
  // Each instance connects again by itself, and the health for which drill_end waits does not tell that it has.
  drill_endure(drill, 3);
  drill_end(&drill, &(struct drill_goal){
                        .text = "reads from the cache 0 failed; " AT_THE_DEADLINE,
                        .may_fail = DRILL_READS | DRILL_WRITES,
                        .to_be_spared = DRILL_STEADY_READS,
                        .late_ms = 50,
                        .recovery_ms = 2000,
                    });
}
