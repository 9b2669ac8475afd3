// One of two instances loses PostgreSQL while the other one goes on to write: it stops serving what it has in memory,
// and nobody reads what was overwritten before. The stack of `make fault` has a network of its own, in which the
// packets of one instance can be told from those of the other; elsewhere these are skipped.
#include <criterion/criterion.h>
#include <stdlib.h>

#include "tests/fault/load.h"
#include "tests/support/http.h"
#include "tests/support/network.h"
#include "tests/support/stack.h"

#define IPTABLES "/usr/sbin/iptables -w"

static void run(const char *command)
{
  (void)output_of((const char *const[]){"sh", "-c", command, NULL});
}

// The first instance reaches PostgreSQL by TCP, the second one by its socket.
static void separate_ways(void)
{
  if (!network_is_own())
    cr_skip_test("packets are lost in a network of its own only, which `make fault` makes where root runs it");
  cr_assert_eq(setenv("BULKHEAD_PG_LISTEN", "127.0.0.1", 1), 0);
  stack("stop", "postgres");
  stack("start", "postgres");
  cr_assert_eq(setenv("BULKHEAD_PG_PLACE", "host=127.0.0.1", 1), 0);
  stack("restart", "item-1");
}

static void heal(void)
{
  if (!network_is_own())
    return;
  run(IPTABLES " -F INPUT");
  unsetenv("BULKHEAD_PG_LISTEN");
  unsetenv("BULKHEAD_PG_PLACE");
  stack("stop", "postgres");
  stack("start", "postgres");
  stack("restart", "item-1");
}

TestSuite(drill_11_history, .init = separate_ways, .fini = heal);

// Lets the clients only read for a while: what the fault has left in some cache is not written over.
static void look_around(struct load *load)
{
  load_pause_writes(load, true);
  load_await(load, LOAD_ALL_ITEMS, 40, 0, "while nobody writes");
  load_pause_writes(load, false);
}

// Cuts the way of the first instance to PostgreSQL several times; `target` is what becomes of its packets.
static void cut_off(const char *target)
{
  struct account owner = account_create();
  struct load *load = load_start(&owner);
  for (size_t round = 0; round < 3; round++) {
    wait_until_healthy();
    wait_until_caching();
    load_await(load, LOAD_ALL_ITEMS, 100, 20, "before an instance is cut off");
    run(text(IPTABLES " -I INPUT -p tcp --dport 5432 -j %s", target));
    load_await(load, LOAD_ALL_ITEMS, 100, 20, "while an instance is cut off");
    look_around(load);
    run(IPTABLES " -F INPUT");
    load_await(load, LOAD_ALL_ITEMS, 100, 20, "after an instance was cut off");
    look_around(load);
  }
  load_stop(load);
  load_assert_right(load);
  load_free(load);
}

Test(drill_11_history, survives_an_instance_whose_packets_to_postgresql_are_lost)
{
  cut_off("DROP");
}

Test(drill_11_history, survives_an_instance_that_postgresql_refuses)
{
  cut_off("REJECT --reject-with tcp-reset");
}
