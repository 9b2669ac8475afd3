// Packets that are lost between processes that run: nothing is closed or refused, nothing comes any more. The stack of
// `make fault` has a network namespace of its own, in which packets of a port can be dropped; elsewhere these are
// skipped.
#include <criterion/criterion.h>
#include <net/if.h>
#include <string.h>
#include <unistd.h>

#include "common/base/compiler.h"
#include "tests/fault/drill.h"
#include "tests/support/environment.h"
#include "tests/support/relay.h"
#include "tests/support/stack.h"

#define IPTABLES "/usr/sbin/iptables -w"

// ---- the network ----

static bool is_private_network(void)
{
  struct if_nameindex *interfaces = if_nameindex();
  bool only_loopback = interfaces != NULL && interfaces[0].if_index != 0 && interfaces[1].if_index == 0;
  if_freenameindex(interfaces);
  return only_loopback && geteuid() == 0 && access("/usr/sbin/iptables", X_OK) == 0;
}

static void run(const char *command)
{
  (void)output_of((const char *const[]){"sh", "-c", command, NULL});
}

// Drops what is sent to or from a port.
static void cut(unsigned port)
{
  run(text(IPTABLES " -I INPUT -p tcp --dport %u -j DROP && " IPTABLES " -I INPUT -p tcp --sport %u -j DROP", port,
           port));
}

static void join_all(void)
{
  run(IPTABLES " -F INPUT");
}

static unsigned port_of(const char *instance)
{
  const char *file = text("%s/%s.port", need_variable("BULKHEAD_RUN_DIR"), instance);
  return (unsigned)strtoul(output_of((const char *const[]){"cat", file, NULL}), NULL, 10);
}

// ---- PostgreSQL ----

static void restart_instances(void)
{
  stack("restart", "item-1");
  stack("restart", "item-2");
}

// Makes the item services reach PostgreSQL by TCP, through a port that can be cut.
static unsigned lead_through_a_port(void)
{
  const char *file = text("%s/sockets", need_variable("BULKHEAD_RUN_DIR"));
  const char *folder = output_of((const char *const[]){"cat", file, NULL});
  unsigned port = relay_start(text("%.*s/pg/.s.PGSQL.5432", (int)strcspn(folder, "\n"), folder));
  cr_assert_eq(setenv("BULKHEAD_PG_PLACE", text("host=127.0.0.1 port=%u", port), 1), 0);
  restart_instances();
  return port;
}

static void lead_back(void)
{
  if (getenv("BULKHEAD_PG_PLACE") == NULL)
    return;
  cr_assert_eq(unsetenv("BULKHEAD_PG_PLACE"), 0);
  restart_instances();
}

static void heal(void)
{
  if (!is_private_network())
    return;
  join_all();
  lead_back();
}

static void skip_elsewhere(void)
{
  if (!is_private_network())
    cr_skip_test(
        "packets are dropped in a network namespace of its own only, which `make fault` makes where root runs it");
}

TestSuite(drill_05_partitions, .init = skip_elsewhere, .fini = heal);

// ---- drills ----

static const char *const instances[] = {"item-1", "item-2"};

Test(drill_05_partitions, gateway_and_one_of_two_instances)
{
  struct drill *drill = drill_start("packets lost between all and one of two instances");
  drill_break(drill);
  cut(port_of(instances[0]));
  drill_endure(drill, 10);
  drill_mend(drill);
  join_all();
  drill_end(&drill, &(struct drill_goal){
                        .text = "reads 0 failed; answers at the deadline (5 s) + 50 ms, back <= 2 s",
                        .may_fail = DRILL_WRITES,
                        .slowest_ms = 5050,
                        .recovery_ms = 2000,
                    });
}

Test(drill_05_partitions, gateway_and_both_instances)
{
  struct drill *drill = drill_start("packets lost between all and both instances");
  drill_break(drill);
  for (size_t i = 0; i < ARRAY_LEN(instances); i++)
    cut(port_of(instances[i]));
  drill_endure(drill, 10);
  drill_mend(drill);
  join_all();
  drill_end(&drill, &(struct drill_goal){
                        .text = "answers at the deadline (5 s) + 50 ms, back <= 2 s",
                        .may_fail = DRILL_READS | DRILL_WRITES,
                        .slowest_ms = 5050,
                        .recovery_ms = 2000,
                    });
}

Test(drill_05_partitions, services_and_postgresql)
{
  unsigned port = lead_through_a_port();
  struct drill *drill = drill_start("packets lost between the item services and PostgreSQL");
  drill_break(drill);
  cut(port);
  drill_endure(drill, 10);
  drill_mend(drill);
  join_all();
  drill_end(&drill, &(struct drill_goal){
                        .text = "answers at the deadline (5 s) + 50 ms, back <= 2 s",
                        .may_fail = DRILL_READS | DRILL_WRITES,
                        .slowest_ms = 5050,
                        .recovery_ms = 2000,
                    });
}
