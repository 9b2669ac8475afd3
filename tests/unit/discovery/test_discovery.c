// The public face with static lists, and with a Consul that is not there or talks nonsense.
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/discovery/discovery.h"
#include "tests/support/common/read_metric.h"

struct seen {
  size_t calls;
  char service[32];
  size_t count;
  char first_url[64];
};

static void on_changed(void *arg, const char *service, const struct discovery_endpoint *endpoints, size_t count)
{
  struct seen *seen = arg;
  seen->calls++;
  seen->count = count;
  snprintf(seen->service, sizeof(seen->service), "%s", service);
  snprintf(seen->first_url, sizeof(seen->first_url), "%s", count == 0 ? "" : endpoints[0].url);
}

static bool readable(int fd)
{
  struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
  return poll(&poll_fd, 1, 0) == 1;
}

Test(discovery, a_static_list_comes_once_through_the_fd)
{
  struct discovery *discovery;
  struct error error;
  struct discovery_options options = {.static_list = "item=tcp://b:2,tcp://a:1"};
  cr_assert_eq(discovery_create(&options, &discovery, &error), STATUS_OK);
  cr_assert(!readable(discovery_fd(discovery)));
  discovery_watch(discovery, "item");
  discovery_watch(discovery, "item");
  cr_assert(readable(discovery_fd(discovery)));
  struct seen seen = {0};
  discovery_process(discovery, on_changed, &seen);
  cr_assert_eq(seen.calls, 1);
  cr_assert_str_eq(seen.service, "item");
  cr_assert_eq(seen.count, 2);
  cr_assert_str_eq(seen.first_url, "tcp://a:1");
  cr_assert(!readable(discovery_fd(discovery)));
  discovery_process(discovery, on_changed, &seen);
  cr_assert_eq(seen.calls, 1);
  cr_assert(discovery_consul_up(discovery), "nothing is down where nothing is asked");
  discovery_free(&discovery);
}

Test(discovery, the_addresses_of_a_name_come_through_the_fd)
{
  struct discovery *discovery;
  struct error error;
  struct discovery_options options = {.static_list = "item=dns+tcp://127.0.0.1:7000"};
  cr_assert_eq(discovery_create(&options, &discovery, &error), STATUS_OK);
  discovery_watch(discovery, "item");
  struct pollfd poll_fd = {.fd = discovery_fd(discovery), .events = POLLIN};
  cr_assert_eq(poll(&poll_fd, 1, 60000), 1);
  struct seen seen = {0};
  discovery_process(discovery, on_changed, &seen);
  cr_assert_eq(seen.count, 1);
  cr_assert_str_eq(seen.first_url, "tcp://127.0.0.1:7000");
  discovery_free(&discovery);
}

static void watch_names(const char *static_list, const char *saved_file, struct seen *seen)
{
  struct discovery *discovery;
  struct error error;
  const struct discovery_options options = {.static_list = static_list, .saved_file = saved_file};
  cr_assert_eq(discovery_create(&options, &discovery, &error), STATUS_OK);
  discovery_watch(discovery, "item");
  struct pollfd poll_fd = {.fd = discovery_fd(discovery), .events = POLLIN};
  cr_assert_eq(poll(&poll_fd, 1, 60000), 1);
  *seen = (struct seen){0};
  discovery_process(discovery, on_changed, seen);
  discovery_free(&discovery);
}

// No resolver takes a label of 64 characters.
#define NO_HOST "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

Test(discovery, what_a_name_stood_for_is_kept_for_a_start_without_dns)
{
  char folder[] = "/tmp/bulkhead-test-XXXXXX", path[64];
  cr_assert_not_null(mkdtemp(folder));
  snprintf(path, sizeof(path), "%s/endpoints", folder);
  struct seen seen;
  watch_names("item=dns+tcp://127.0.0.1:4711", path, &seen);
  FILE *file = fopen(path, "r+");
  char line[200];
  cr_assert(file != NULL && fgets(line, sizeof(line), file) != NULL && fgets(line, sizeof(line), file) != NULL);
  cr_expect_str_eq(line, "dns+tcp://127.0.0.1:4711 tcp://127.0.0.1:4711 tcp://127.0.0.1:4711\n");
  fputs("dns+tcp://" NO_HOST ":1 tcp://127.0.0.9:1 tcp://127.0.0.9:1\n", file);
  fclose(file);
  watch_names("item=dns+tcp://" NO_HOST ":1", path, &seen);
  cr_expect_str_eq(seen.first_url, "tcp://127.0.0.9:1");
  unlink(path);
  rmdir(folder);
}

Test(discovery, a_service_that_nobody_knows_is_an_empty_list)
{
  struct discovery *discovery;
  struct error error;
  cr_assert_eq(discovery_create(&(struct discovery_options){0}, &discovery, &error), STATUS_OK);
  discovery_watch(discovery, "item");
  struct seen seen = {.count = 9};
  discovery_process(discovery, on_changed, &seen);
  cr_assert_eq(seen.calls, 1);
  cr_assert_eq(seen.count, 0);
  discovery_free(&discovery);
}

Test(discovery, bad_options_are_refused)
{
  struct discovery *discovery;
  struct error error;
  cr_assert_eq(discovery_create(&(struct discovery_options){.consul_url = "file:///etc/passwd"}, &discovery, &error),
               STATUS_INVALID_ARGUMENT);
  cr_assert_eq(discovery_create(&(struct discovery_options){.static_list = "item"}, &discovery, &error),
               STATUS_INVALID_ARGUMENT);
}

Test(discovery, without_consul_at_its_place_nothing_blocks_and_errors_are_counted)
{
  // A port that is ours and where nobody listens.
  int taken = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof(address);
  cr_assert_eq(bind(taken, (struct sockaddr *)&address, size), 0);
  cr_assert_eq(getsockname(taken, (struct sockaddr *)&address, &size), 0);
  char url[64];
  snprintf(url, sizeof(url), "http://127.0.0.1:%d/", ntohs(address.sin_port));
  struct discovery *discovery;
  struct error error;
  struct discovery_options options = {.consul_url = url, .static_list = "user=tcp://a:1"};
  cr_assert_eq(discovery_create(&options, &discovery, &error), STATUS_OK);
  discovery_watch(discovery, "item");
  discovery_watch(discovery, "user");
  discovery_register(discovery, &(struct discovery_registration){.service = "x", .id = "x-1", .url = "tcp://h:1"});
  uint64_t end_us = clock_now_us() + 60 * UINT64_C(1000000);
  while (read_single_metric(METRIC_DISCOVERY_ERRORS) < 2) {
    sched_yield();
    cr_assert_lt(clock_now_us(), end_us, "no errors within a minute");
  }
  cr_assert(!discovery_consul_up(discovery));
  struct seen seen = {0};
  discovery_process(discovery, on_changed, &seen);
  cr_assert_eq(seen.calls, 1, "the static one only");
  cr_assert_str_eq(seen.service, "user");
  discovery_free(&discovery);
  close(taken);
}
