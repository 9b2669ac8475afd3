// The host of the primary PostgreSQL vanishes without a word, and the stand-by on another host is promoted, as an
// operator or a manager of clusters would do. Each commit waits for the stand-by, so no acknowledged write may be lost.
// `make fault` has a network in which hosts can vanish; elsewhere this is skipped.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/compiler.h"
#include "tests/fault/drill.h"
#include "tests/support/environment.h"
#include "tests/support/http.h"
#include "tests/support/network.h"
#include "tests/support/stack.h"

// Hosts.
enum { PRIMARY = 3, STANDBY = 4 };

static const char *const services[] = {"auth-1", "user-1", "item-1", "item-2"};

static void restart_services(void)
{
  for (size_t i = 0; i < ARRAY_LEN(services); i++)
    stack("restart", services[i]);
}

static void set(const char *name, const char *value)
{
  cr_assert_eq(setenv(name, value, 1), 0);
}

static const char *standby(const char *action)
{
  return output_of((const char *const[]){"tests/support/standby", action, NULL});
}

// Gives the primary and its stand-by hosts of their own, which all services are told of.
static void set_up_hosts(void)
{
  network_add_host(PRIMARY);
  network_add_host(STANDBY);
  set("BULKHEAD_PG_LISTEN", network_address_of(PRIMARY));
  stack("stop", "postgres");
  network_stack(PRIMARY, "start", "postgres");
  network_run(STANDBY,
              text("exec tests/support/standby start %s %s", network_address_of(PRIMARY), network_address_of(STANDBY)));
  set("BULKHEAD_PG_PLACE", text("host=%s,%s", network_address_of(PRIMARY), network_address_of(STANDBY)));
  restart_services();
}

static void remove_hosts(void)
{
  if (!network_is_own() || getenv("BULKHEAD_PG_LISTEN") == NULL)
    return;
  unsetenv("BULKHEAD_PG_LISTEN");
  unsetenv("BULKHEAD_PG_PLACE");
  (void)standby("end");
  stack("stop", "postgres");
  network_remove_host(PRIMARY);
  network_remove_host(STANDBY);
  stack("start", "postgres");
  restart_services();
}

static void skip_elsewhere(void)
{
  if (!network_is_own())
    cr_skip_test("a host vanishes in a network of its own only, which `make fault` makes where root runs it");
}

TestSuite(drill_10_vanished_host, .init = skip_elsewhere, .fini = remove_hosts);

Test(drill_10_vanished_host, of_the_primary)
{
  set_up_hosts();
  const char *primary = need_variable("BULKHEAD_PG");
  struct drill *drill = drill_start("the host of the primary PostgreSQL vanishes, its stand-by is promoted");
  drill_break(drill);
  network_cut(PRIMARY);
  (void)standby("promote");
  drill_endure(drill, 10);
  drill_mend(drill);
  // The ledger is held against what serves now.
  const char *copy = standby("psql");
  set("BULKHEAD_PG", text("%.*s", (int)strcspn(copy, "\n"), copy));
  drill_end(&drill, &(struct drill_goal){
                        .text = "costs 2 s; reads from the cache 0 failed; others 503 or 504 by their deadline",
                        .may_fail = DRILL_ALL,
                        .to_be_spared = DRILL_STEADY_READS,
                        .late_ms = 50,
                        .settle_ms = 2000,
                    });
  set("BULKHEAD_PG", primary);
}
