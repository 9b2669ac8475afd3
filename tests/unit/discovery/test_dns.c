// Names that stand for the instances of a service: which addresses count, and what holds while DNS does not answer.
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/thread.h"
#include "common/discovery/dns_internal.h"
#include "tests/support/common/read_metric.h"

// ---- addresses ----

// Makes what getaddrinfo finds for numeric hosts, NULL at the end.
static struct addrinfo *find_hosts(const char *const *hosts)
{
  const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM};
  struct addrinfo *first = NULL;
  struct addrinfo **end = &first;
  for (; *hosts != NULL; hosts++) {
    cr_assert_eq(getaddrinfo(*hosts, NULL, &hints, end), 0);
    end = &(*end)->ai_next;
  }
  return first;
}

static struct endpoint_list add_hosts(const char *url, const char *const *hosts)
{
  struct addrinfo *found = find_hosts(hosts);
  struct endpoint_list list = {0};
  dns_add_addresses(&list, slice_from_string(url), found);
  freeaddrinfo(found);
  return list;
}

Test(dns, each_address_is_an_endpoint_with_the_scheme_and_port_of_the_name)
{
  struct endpoint_list list =
      add_hosts("tls+tcp://item:7000", (const char *const[]){"10.0.0.1", "10.0.0.2", "10.0.0.1", NULL});
  cr_assert_eq(list.count, 2, "a repetition does not count");
  cr_assert_str_eq(list.endpoints[0].url, "tls+tcp://10.0.0.1:7000");
  cr_assert_str_eq(list.endpoints[1].id, "tls+tcp://10.0.0.2:7000");
  endpoint_list_free(&list);
}

Test(dns, an_instance_with_addresses_of_both_families_counts_once)
{
  struct endpoint_list both = add_hosts("tcp://item:7000", (const char *const[]){"2001:db8::1", "10.0.0.1", NULL});
  cr_assert_eq(both.count, 1);
  cr_assert_str_eq(both.endpoints[0].url, "tcp://10.0.0.1:7000");
  endpoint_list_free(&both);
  struct endpoint_list six = add_hosts("tcp://item:7000", (const char *const[]){"2001:db8::1", NULL});
  cr_assert_eq(six.count, 1);
  cr_assert_str_eq(six.endpoints[0].url, "tcp://[2001:db8::1]:7000");
  endpoint_list_free(&six);
}

// ---- the thread ----

// What the name "item" stands for, and what came of it.
static struct {
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  const char *const *hosts;  // NULL: DNS does not answer
  const char *dead;          // a host that does not exist any more; NULL for none
  char saved[64];            // the first address that was to be saved last, behind its name
  size_t lookups;
  size_t count;
  char first[64];
} world = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static int look_up(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **found)
{
  (void)hints;
  cr_assert_null(port);
  pthread_mutex_lock(&world.mutex);
  world.lookups++;
  const char *const *hosts = world.hosts;
  bool is_dead = world.dead != NULL && strcmp(host, world.dead) == 0;
  pthread_cond_broadcast(&world.changed);
  pthread_mutex_unlock(&world.mutex);
  if (is_dead)
    return EAI_NONAME;
  static const char *const other[] = {"10.0.9.9", NULL};
  if (strcmp(host, "other") == 0)
    hosts = other;
  if (hosts == NULL)
    return EAI_AGAIN;
  *found = find_hosts(hosts);
  return *found == NULL ? EAI_NONAME : 0;
}

static void take_list(void *arg, const char *service, struct endpoint_list *list)
{
  (void)arg;
  cr_assert_str_eq(service, "item");
  pthread_mutex_lock(&world.mutex);
  world.count = list->count;
  snprintf(world.first, sizeof(world.first), "%s", list->count == 0 ? "" : list->endpoints[0].url);
  pthread_cond_broadcast(&world.changed);
  pthread_mutex_unlock(&world.mutex);
  endpoint_list_free(list);
}

static void save_name(void *arg, const char *name, const struct endpoint_list *list)
{
  (void)arg;
  pthread_mutex_lock(&world.mutex);
  snprintf(world.saved, sizeof(world.saved), "%s %s", name, list->endpoints[0].url);
  pthread_mutex_unlock(&world.mutex);
}

static void set_dead(const char *host)
{
  pthread_mutex_lock(&world.mutex);
  world.dead = host;
  world.lookups = 0;
  pthread_mutex_unlock(&world.mutex);
}

static void set_hosts(const char *const *hosts)
{
  pthread_mutex_lock(&world.mutex);
  world.hosts = hosts;
  world.lookups = 0;
  pthread_mutex_unlock(&world.mutex);
}

// Waits for a list of this length and for so many look-ups since the hosts were set.
static void await(size_t count, const char *first, size_t lookups)
{
  uint64_t end_us = deadline_after_ms(clock_now_us(), 60000);
  pthread_mutex_lock(&world.mutex);
  while (world.count != count || world.lookups < lookups || strcmp(world.first, first) != 0)
    cr_assert(condition_wait_until(&world.changed, &world.mutex, end_us), "%zu endpoints (%s) and %zu look-ups",
              world.count, world.first, world.lookups);
  pthread_mutex_unlock(&world.mutex);
}

Test(dns, the_instances_of_a_name_are_followed_and_the_last_ones_hold_while_there_is_no_answer)
{
  condition_init(&world.changed);
  struct static_service *services;
  struct error error;
  cr_assert_eq(static_list_parse(SLICE("item=dns+tcp://item:7000"), &services, &error), STATUS_OK);
  set_hosts((const char *const[]){"10.0.0.1", NULL});
  const struct saved_lists none = {0};
  struct dns *dns = dns_start(&(struct dns_options){.lookup = look_up, .pause_ms = 1, .on_list = take_list});
  dns_watch(dns, services, &none);
  await(1, "tcp://10.0.0.1:7000", 1);
  set_hosts((const char *const[]){"10.0.0.3", "10.0.0.2", "10.0.0.1", NULL});
  await(3, "tcp://10.0.0.1:7000", 1);
  // Three look-ups: the second one began after the first had ended without a list.
  int64_t errors = read_single_metric(METRIC_DISCOVERY_ERRORS);
  set_hosts(NULL);
  await(3, "tcp://10.0.0.1:7000", 3);
  set_hosts((const char *const[]){NULL});
  await(3, "tcp://10.0.0.1:7000", 3);
  cr_assert_geq(read_single_metric(METRIC_DISCOVERY_ERRORS), errors + 4);
  set_hosts((const char *const[]){"10.0.0.2", NULL});
  await(1, "tcp://10.0.0.2:7000", 1);
  dns_free(&dns);
  cr_assert_null(dns);
  static_list_free(&services);
}

Test(dns, a_name_that_is_gone_keeps_its_places_and_the_other_is_followed)
{
  condition_init(&world.changed);
  struct static_service *services;
  struct error error;
  const struct saved_lists none = {0};
  cr_assert_eq(static_list_parse(SLICE("item=dns+tcp://other:7000,dns+tcp://item:7000"), &services, &error), STATUS_OK);
  set_hosts((const char *const[]){"10.0.0.1", NULL});
  struct dns *dns =
      dns_start(&(struct dns_options){.lookup = look_up, .pause_ms = 1, .on_list = take_list, .on_name = save_name});
  dns_watch(dns, services, &none);
  await(2, "tcp://10.0.0.1:7000", 2);
  set_dead("other");
  set_hosts((const char *const[]){"10.0.0.3", "10.0.0.2", NULL});
  await(3, "tcp://10.0.0.2:7000", 4);
  dns_free(&dns);
  cr_expect_str_eq(world.saved, "dns+tcp://item:7000 tcp://10.0.0.2:7000");
  static_list_free(&services);
}

Test(dns, a_start_without_dns_begins_with_what_was_saved)
{
  condition_init(&world.changed);
  struct static_service *services;
  struct error error;
  struct saved_lists saved = {0};
  cr_assert_eq(static_list_parse(SLICE("item=dns+tcp://item:7000,tcp://10.0.0.9:7000"), &services, &error), STATUS_OK);
  cr_assert(saved_lists_parse(SLICE("bulkhead endpoints 1\n"
                                    "dns+tcp://item:7000 tcp://10.0.0.1:7000 tcp://10.0.0.1:7000\n"),
                              &saved.services));
  set_hosts(NULL);
  struct dns *dns = dns_start(&(struct dns_options){.lookup = look_up, .pause_ms = 1, .on_list = take_list});
  dns_watch(dns, services, &saved);
  await(2, "tcp://10.0.0.1:7000", 3);
  set_hosts((const char *const[]){"10.0.0.2", NULL});
  await(2, "tcp://10.0.0.2:7000", 1);
  dns_free(&dns);
  static_list_free(&services);
  static_list_free(&saved.services);
}
