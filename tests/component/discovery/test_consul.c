// Discovery against a real Consul that comes, goes and forgets.
#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/discovery/discovery.h"
#include "tests/component/discovery/consul_process.h"
#include "tests/support/common/read_metric.h"

struct seen {
  size_t changes;
  size_t count;
  char ids[4][64];
  char urls[4][64];
};

static struct consul_process consul;
static struct discovery *discovery;
static struct seen seen;

static void on_changed(void *arg, const char *service, const struct discovery_endpoint *endpoints, size_t count)
{
  (void)arg;
  cr_assert_str_eq(service, "item");
  seen.changes++;
  seen.count = count;
  for (size_t i = 0; i < count && i < 4; i++) {
    snprintf(seen.ids[i], sizeof(seen.ids[i]), "%s", endpoints[i].id);
    snprintf(seen.urls[i], sizeof(seen.urls[i]), "%s", endpoints[i].url);
  }
}

static void start(void)
{
  consul_process_prepare(&consul);
  consul_process_start(&consul);
  struct error error;
  struct discovery_options options = {.consul_url = consul.url};
  cr_assert_eq(discovery_create(&options, &discovery, &error), STATUS_OK, "%s", error.message);
}

// Starts another discovery, which follows "item" and keeps a file.
static void start_discovery(const char *file)
{
  struct error error;
  struct discovery_options options = {.consul_url = consul.url, .saved_file = file};
  cr_assert_eq(discovery_create(&options, &discovery, &error), STATUS_OK, "%s", error.message);
  discovery_watch(discovery, "item");
}

static void stop(void)
{
  discovery_free(&discovery);
  consul_process_kill(&consul);
}

static void wait_for_change(void)
{
  size_t before = seen.changes;
  uint64_t end_us = clock_now_us() + 60 * UINT64_C(1000000);
  while (seen.changes == before) {
    struct pollfd fd = {.fd = discovery_fd(discovery), .events = POLLIN};
    poll(&fd, 1, 1000);
    discovery_process(discovery, on_changed, NULL);
    cr_assert_lt(clock_now_us(), end_us, "no change within a minute");
  }
}

static void wait_for_count(size_t count)
{
  do
    wait_for_change();
  while (seen.count != count);
}

static void wait_until_up(bool up)
{
  uint64_t end_us = clock_now_us() + 60 * UINT64_C(1000000);
  while (discovery_consul_up(discovery) != up) {
    struct pollfd none = {.fd = -1};
    poll(&none, 1, 10);
    cr_assert_lt(clock_now_us(), end_us, "Consul's state was not noticed within a minute");
  }
}

// Without a check an instance counts as passing.
static void register_by_hand(const char *id, int port)
{
  char body[256];
  snprintf(body, sizeof(body), "{\"ID\":\"%s\",\"Name\":\"item\",\"Address\":\"10.0.0.9\",\"Port\":%d}", id, port);
  cr_assert_eq(consul_process_request(&consul, "PUT", "/v1/agent/service/register", body), 200);
}

static const struct discovery_registration own = {
    .service = "item", .id = "item-own", .url = "tcp://127.0.0.1:4711", .version = "1"};

// What nobody answers.
#define DEAD_URL "http://127.0.0.1:1/readyz"

// Registers us with a check that passes, and, once we are listed, with one that fails. With the latter alone Consul may
// have run the check before the list was asked for, and its two changes would be none.
static void register_and_fail(void)
{
  char alive[128];
  snprintf(alive, sizeof(alive), "%s/v1/status/leader", consul.url);
  struct discovery_registration checked = own;
  checked.health_url = alive;
  discovery_register(discovery, &checked);
  wait_for_count(2);
  cr_assert_str_eq(seen.ids[0], "item-own");
  cr_assert_str_eq(seen.urls[0], "tcp://127.0.0.1:4711");
  checked.health_url = DEAD_URL;
  discovery_register(discovery, &checked);
  wait_for_count(1);
}

Test(consul, lists_follow_what_others_register)
{
  start();
  discovery_watch(discovery, "item");
  wait_for_change();
  cr_assert_eq(seen.count, 0, "the first list comes though it is empty");
  register_by_hand("item-b", 2);
  wait_for_count(1);
  cr_assert_str_eq(seen.urls[0], "tcp://10.0.0.9:2");
  register_by_hand("item-a", 1);
  wait_for_count(2);
  cr_assert_str_eq(seen.ids[0], "item-a", "sorted by id");
  cr_assert_eq(consul_process_request(&consul, "PUT", "/v1/agent/service/deregister/item-b", ""), 200);
  wait_for_count(1);
  cr_assert_str_eq(seen.ids[0], "item-a");
  cr_assert(discovery_consul_up(discovery));
  cr_assert_eq(read_single_metric(METRIC_CONSUL_UP), 1);
  stop();
}

Test(consul, we_register_with_a_passing_check_and_take_it_back)
{
  start();
  register_by_hand("item-z", 1);
  discovery_watch(discovery, "item");
  wait_for_count(1);
  // Another instance passes its check.
  register_and_fail();
  discovery_register(discovery, &own);
  wait_for_count(2);
  discovery_deregister(discovery, 30000);
  cr_assert_eq(consul_process_request(&consul, "GET", "/v1/agent/service/item-own", ""), 404);
  wait_for_count(1);
  stop();
}

// A Consul that reaches no instance says little about who can be called.
Test(consul, the_only_instance_stays_listed_though_its_check_fails)
{
  start();
  register_by_hand("item-z", 1);
  discovery_watch(discovery, "item");
  register_and_fail();
  cr_assert_eq(consul_process_request(&consul, "PUT", "/v1/agent/service/deregister/item-z", ""), 200);
  wait_for_change();
  cr_assert_eq(seen.count, 1);
  cr_assert_str_eq(seen.ids[0], "item-own");
  stop();
}

// Nobody answers the check's URL, so the check of the successor can be passing only because it begins so.
Test(consul, the_successor_of_a_crashed_instance_is_listed_at_once_under_the_same_id)
{
  start();
  register_by_hand("item-z", 1);
  discovery_watch(discovery, "item");
  register_and_fail();
  struct discovery_registration checked = own;
  checked.health_url = DEAD_URL;
  // Consul may run the check at once and take the successor off the list before this test has looked: then it sees
  // no change, and tries another successor.
  do {
    struct discovery *successor;
    struct error error;
    struct discovery_options options = {.consul_url = consul.url};
    cr_assert_eq(discovery_create(&options, &successor, &error), STATUS_OK, "%s", error.message);
    discovery_register(successor, &checked);
    wait_for_change();
    discovery_free(&successor);
  } while (seen.count != 2);
  cr_assert_str_eq(seen.ids[0], "item-own");
  stop();
}

static void wait_until_registered(void)
{
  uint64_t end_us = clock_now_us() + 60 * UINT64_C(1000000);
  while (consul_process_request(&consul, "GET", "/v1/agent/service/item-own", "") != 200)
    cr_assert_lt(clock_now_us(), end_us, "not registered again within a minute");
}

Test(consul, a_registration_that_was_lost_is_made_again_and_the_list_is_never_empty)
{
  start();
  discovery_watch(discovery, "item");
  discovery_register(discovery, &own);
  wait_for_count(1);
  size_t changes = seen.changes;
  cr_assert_eq(consul_process_request(&consul, "PUT", "/v1/agent/service/deregister/item-own", ""), 200);
  wait_until_registered();
  register_by_hand("item-z", 1);
  wait_for_change();
  cr_assert_eq(seen.changes, changes + 1);
  cr_assert_eq(seen.count, 2);
  stop();
}

Test(consul, the_last_list_stays_while_consul_is_away_and_all_comes_back_with_it)
{
  start();
  discovery_watch(discovery, "item");
  discovery_register(discovery, &own);
  wait_for_count(1);
  size_t changes = seen.changes;
  consul_process_kill(&consul);
  wait_until_up(false);
  discovery_process(discovery, on_changed, NULL);
  cr_assert_eq(seen.changes, changes, "the list is kept");
  // The new one knows nothing, and its indexes begin again at 1.
  consul_process_start(&consul);
  wait_until_up(true);
  wait_until_registered();
  register_by_hand("item-new", 7);
  wait_for_change();
  cr_assert_eq(seen.changes, changes + 1, "the list has never been shorter");
  cr_assert_eq(seen.count, 2);
  cr_assert_str_eq(seen.ids[0], "item-new");
  cr_assert_str_eq(seen.ids[1], "item-own");
  stop();
}

// ---- starting without Consul ----

static char saved_file[] = "/tmp/bulkhead-saved-XXXXXX";

// Lets a discovery save that "item" has the instance "item-z", and ends it.
static void save_list(void)
{
  int fd = mkstemp(saved_file);
  cr_assert_geq(fd, 0);
  close(fd);
  register_by_hand("item-z", 1);
  discovery_free(&discovery);
  start_discovery(saved_file);
  wait_for_count(1);
  discovery_free(&discovery);
}

Test(consul, a_start_while_consul_is_away_finds_what_was_saved_and_then_what_is_there)
{
  start();
  save_list();
  consul_process_kill(&consul);
  start_discovery(saved_file);
  wait_for_change();
  cr_assert_eq(seen.count, 1);
  cr_assert_str_eq(seen.ids[0], "item-z");
  cr_assert_str_eq(seen.urls[0], "tcp://10.0.0.9:1");
  wait_until_up(false);
  consul_process_start(&consul);
  register_by_hand("item-a", 2);
  wait_for_count(2);
  cr_assert_str_eq(seen.ids[0], "item-a");
  unlink(saved_file);
  stop();
}

Test(consul, a_start_while_consul_is_frozen_finds_what_was_saved_and_ends_in_time)
{
  start();
  save_list();
  kill(consul.pid, SIGSTOP);
  start_discovery(saved_file);
  discovery_register(discovery, &own);
  wait_for_change();
  cr_assert_str_eq(seen.ids[0], "item-z");
  discovery_deregister(discovery, 100);
  discovery_free(&discovery);
  kill(consul.pid, SIGCONT);
  start_discovery(saved_file);
  discovery_register(discovery, &own);
  wait_for_count(2);
  cr_assert_str_eq(seen.ids[0], "item-own");
  unlink(saved_file);
  stop();
}

Test(consul, freeing_takes_the_registration_back)
{
  start();
  discovery_watch(discovery, "item");
  discovery_register(discovery, &own);
  wait_for_count(1);
  discovery_free(&discovery);
  cr_assert_eq(consul_process_request(&consul, "GET", "/v1/agent/service/item-own", ""), 404);
  stop();
}
