// Rounds over all watched services, one look-up after the other: there are few names, and a slow answer delays only
// news.
#include "common/discovery/dns_internal.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/thread.h"
#include "common/observe/log.h"
#include "common/observe/metrics.h"

#define DEFAULT_PAUSE_MS 2000
#define MAX_HOST_BYTES 255

// One name of a service. The other names do not depend on whether this one is resolved.
struct dns_name {
  const char *url;            // in static_service.names
  struct endpoint_list last;  // what it stood for when it was resolved last, or what was saved
  int failure;                // of the last round, a code of getaddrinfo; 0 for none
};

struct dns_watch {
  struct dns_watch *next;
  const struct static_service *service;
  struct dns_name *names;  // as many as service->names
};

struct dns {
  dns_lookup_fn *lookup;
  uint32_t pause_ms;
  void (*on_list)(void *arg, const char *service, struct endpoint_list *list);
  void (*on_name)(void *arg, const char *name, const struct endpoint_list *list);
  void *arg;
  struct metric_series *errors_metric;
  pthread_t thread;
  // The mutex guards the members below.
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  struct dns_watch *watches;  // a watch that is in the list stays, and only the thread changes its names
  bool has_new;
  bool stop;
};

// ---- addresses ----

static struct slice scheme_of(struct slice url)
{
  return slice_make(url.data, slice_find(url, ':', 0));
}

static bool contains_url(const struct endpoint_list *list, const char *url)
{
  for (size_t i = 0; i < list->count; i++)
    if (strcmp(list->endpoints[i].url, url) == 0)
      return true;
  return false;
}

static const void *address_bytes(const struct addrinfo *found)
{
  if (found->ai_family == AF_INET6)
    return &((const struct sockaddr_in6 *)(const void *)found->ai_addr)->sin6_addr;
  return &((const struct sockaddr_in *)(const void *)found->ai_addr)->sin_addr;
}

static void add_address(struct endpoint_list *list, struct slice url, const struct addrinfo *found)
{
  struct slice host;
  struct slice scheme = scheme_of(url);
  int port;
  char address[INET6_ADDRSTRLEN];
  char text[INET6_ADDRSTRLEN + 32];
  if (!endpoint_url_split(url, &host, &port) ||
      inet_ntop(found->ai_family, address_bytes(found), address, sizeof(address)) == NULL)
    return;
  bool is_six = found->ai_family == AF_INET6;
  snprintf(text, sizeof(text), SLICE_FMT "://%s%s%s:%d", SLICE_ARG(scheme), is_six ? "[" : "", address,
           is_six ? "]" : "", port);
  // A full list takes no more.
  if (!contains_url(list, text))
    (void)endpoint_list_add(list, slice_from_string(text), slice_from_string(text));
}

static bool has_family(const struct addrinfo *found, int family)
{
  for (; found != NULL; found = found->ai_next)
    if (found->ai_family == family)
      return true;
  return false;
}

void dns_add_addresses(struct endpoint_list *list, struct slice url, const struct addrinfo *found)
{
  int family = has_family(found, AF_INET) ? AF_INET : AF_INET6;
  for (; found != NULL; found = found->ai_next)
    if (found->ai_family == family)
      add_address(list, url, found);
}

// ---- the thread ----

// Returns a code of getaddrinfo: EAI_NONAME also where a name stands for nothing.
static int resolve_name(const struct dns *dns, const char *url, struct endpoint_list *list)
{
  struct slice host;
  int port;
  char name[MAX_HOST_BYTES + 1];
  CHECK(endpoint_url_split(slice_from_string(url), &host, &port) && host.size <= MAX_HOST_BYTES);
  snprintf(name, sizeof(name), SLICE_FMT, SLICE_ARG(host));
  const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
  struct addrinfo *found = NULL;
  int failure = dns->lookup(name, NULL, &hints, &found);
  if (failure != 0)
    return failure;
  if (found != NULL) {
    dns_add_addresses(list, slice_from_string(url), found);
    freeaddrinfo(found);
  }
  return list->count == 0 ? EAI_NONAME : 0;
}

static void note_failure(const struct dns *dns, const struct static_service *service, struct dns_name *name,
                         int failure)
{
  if (failure != 0)
    metric_add(dns->errors_metric, 1);
  if (failure == name->failure)
    return;
  name->failure = failure;
  if (failure != 0)
    log_warn("dns",
             "could not resolve a name of a service; its last known addresses are used, will retry; where no address "
             "is known at all, calls to the service fail",
             LOG_STRING("peer", service->name), LOG_STRING("name", name->url),
             LOG_STRING("reason", gai_strerror(failure)));
  else
    log_info("dns", "a name of a service is resolved again", LOG_STRING("peer", service->name),
             LOG_STRING("name", name->url));
}

// Returns the places of the service that need no DNS and those that its names stand for, as far as they are known.
static struct endpoint_list join_lists(const struct dns_watch *watch)
{
  struct endpoint_list all = endpoint_list_copy(&watch->service->list);
  for (size_t i = 0; i < watch->service->names.count; i++) {
    const struct endpoint_list *last = &watch->names[i].last;
    for (size_t k = 0; k < last->count; k++)
      // A full list takes no more.
      if (!contains_url(&all, last->endpoints[k].url))
        (void)endpoint_list_add_copy(&all, &last->endpoints[k]);
  }
  endpoint_list_sort(&all);
  return all;
}

static void save_name(const struct dns *dns, const struct dns_name *name)
{
  char key[DNS_KEY_BYTES];
  if (dns->on_name == NULL)
    return;
  dns_make_key(key, name->url);
  dns->on_name(dns->arg, key, &name->last);
}

// What a name stands for is handed over at once: the look-up of the next name may take long.
static void follow_name(const struct dns *dns, const struct dns_watch *watch, struct dns_name *name)
{
  struct endpoint_list list = {0};
  int failure = resolve_name(dns, name->url, &list);
  note_failure(dns, watch->service, name, failure);
  endpoint_list_sort(&list);
  if (failure != 0 || endpoint_list_equal(&list, &name->last)) {
    endpoint_list_free(&list);
    return;
  }
  endpoint_list_free(&name->last);
  name->last = list;
  save_name(dns, name);
  struct endpoint_list all = join_lists(watch);
  dns->on_list(dns->arg, watch->service->name, &all);
}

static void follow(const struct dns *dns, const struct dns_watch *watch)
{
  for (size_t i = 0; i < watch->service->names.count; i++)
    follow_name(dns, watch, &watch->names[i]);
}

// Waits until the next round is due. False when the thread must end.
static bool wait_for_round(struct dns *dns, uint64_t due_us, struct dns_watch **first)
{
  pthread_mutex_lock(&dns->mutex);
  while (!dns->stop && !dns->has_new && condition_wait_until(&dns->changed, &dns->mutex, due_us))
    continue;
  dns->has_new = false;
  *first = dns->watches;
  bool goes_on = !dns->stop;
  pthread_mutex_unlock(&dns->mutex);
  return goes_on;
}

static void *run_thread(void *arg)
{
  struct dns *dns = arg;
  struct dns_watch *watch;
  uint64_t due_us = DEADLINE_NONE;
  while (wait_for_round(dns, due_us, &watch)) {
    for (; watch != NULL; watch = watch->next)
      follow(dns, watch);
    due_us = deadline_after_ms(clock_now_us(), dns->pause_ms);
  }
  return NULL;
}

// ---- the host's side ----

struct dns *dns_start(const struct dns_options *options)
{
  struct dns *dns = calloc(1, sizeof(*dns));
  CHECK(dns != NULL);
  dns->lookup = options->lookup == NULL ? getaddrinfo : options->lookup;
  dns->pause_ms = options->pause_ms == 0 ? DEFAULT_PAUSE_MS : options->pause_ms;
  dns->on_list = options->on_list;
  dns->on_name = options->on_name;
  dns->arg = options->arg;
  dns->errors_metric = metrics_single(METRIC_DISCOVERY_ERRORS);
  CHECK(pthread_mutex_init(&dns->mutex, NULL) == 0);
  condition_init(&dns->changed);
  CHECK(thread_start(&dns->thread, run_thread, dns));
  return dns;
}

static void free_watch(struct dns_watch *watch)
{
  for (size_t i = 0; i < watch->service->names.count; i++)
    endpoint_list_free(&watch->names[i].last);
  free(watch->names);
  free(watch);
}

void dns_free(struct dns **dns_pointer)
{
  struct dns *dns = *dns_pointer;
  if (dns == NULL)
    return;
  *dns_pointer = NULL;
  pthread_mutex_lock(&dns->mutex);
  dns->stop = true;
  pthread_cond_signal(&dns->changed);
  pthread_mutex_unlock(&dns->mutex);
  pthread_join(dns->thread, NULL);
  while (dns->watches != NULL) {
    struct dns_watch *watch = dns->watches;
    dns->watches = watch->next;
    free_watch(watch);
  }
  pthread_cond_destroy(&dns->changed);
  pthread_mutex_destroy(&dns->mutex);
  free(dns);
}

static struct dns_watch *make_watch(const struct static_service *service, const struct saved_lists *saved)
{
  struct dns_watch *watch = calloc(1, sizeof(*watch));
  CHECK(watch != NULL);
  watch->service = service;
  watch->names = calloc(service->names.count, sizeof(*watch->names));
  CHECK(watch->names != NULL);
  for (size_t i = 0; i < service->names.count; i++) {
    char key[DNS_KEY_BYTES];
    struct dns_name *name = &watch->names[i];
    name->url = service->names.endpoints[i].url;
    dns_make_key(key, name->url);
    const struct endpoint_list *last = saved_lists_find(saved, key);
    if (last != NULL)
      name->last = endpoint_list_copy(last);
  }
  return watch;
}

void dns_make_key(char key[DNS_KEY_BYTES], const char *url)
{
  snprintf(key, DNS_KEY_BYTES, "dns+%s", url);
}

// Hands over what is known without DNS, before the thread may hand over something newer.
static void hand_over_known(const struct dns *dns, const struct dns_watch *watch)
{
  struct endpoint_list known = join_lists(watch);
  if (known.count > 0)
    dns->on_list(dns->arg, watch->service->name, &known);
  else
    endpoint_list_free(&known);
}

void dns_watch(struct dns *dns, const struct static_service *service, const struct saved_lists *saved)
{
  struct dns_watch *watch = make_watch(service, saved);
  hand_over_known(dns, watch);
  pthread_mutex_lock(&dns->mutex);
  watch->next = dns->watches;
  dns->watches = watch;
  dns->has_new = true;
  pthread_cond_signal(&dns->changed);
  pthread_mutex_unlock(&dns->mutex);
}
