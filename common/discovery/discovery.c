// Hands the endpoints of watched services from the threads that follow them to the host's: under a mutex, with an
// eventfd as the signal.
#include "common/discovery/discovery.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/memory.h"
#include "common/discovery/consul_internal.h"
#include "common/discovery/dns_internal.h"
#include "common/discovery/endpoint_list_internal.h"
#include "common/discovery/saved_lists_internal.h"
#include "common/discovery/static_list_internal.h"
#include "common/observe/log.h"
#include "common/observe/metrics.h"

#define DEFAULT_WAIT_MS 60000
// The time that discovery_free waits for Consul when this instance is still registered.
#define FREE_TIMEOUT_MS 2000

enum list_state {
  LIST_UNKNOWN,  // no list has come yet
  LIST_CHANGED,  // not handed over yet
  LIST_CURRENT,  // the host has it
};

struct watched {
  struct watched *next;
  char *service;
  struct metric_series *updates;
  // The mutex guards the members below.
  struct endpoint_list list;
  enum list_state state;
};

struct discovery {
  struct static_service *static_services;
  struct dns *dns;           // NULL: no name is followed in DNS
  struct consul *consul;     // NULL: no Consul is used
  struct saved_lists saved;  // of the last run; only the host's thread uses it
  pthread_mutex_t kept_mutex;
  struct saved_lists kept;  // of this run, under kept_mutex; the threads of Consul and of DNS use it
  int event_fd;
  pthread_mutex_t mutex;
  struct watched *watched;  // only the host's thread adds to it, under the mutex
};

static struct watched *find_watched(const struct discovery *discovery, const char *service)
{
  for (struct watched *watched = discovery->watched; watched != NULL; watched = watched->next)
    if (strcmp(watched->service, service) == 0)
      return watched;
  return NULL;
}

static void wake_host(struct discovery *discovery)
{
  uint64_t one = 1;
  ssize_t written = write(discovery->event_fd, &one, sizeof(one));
  (void)written;
}

// Takes over the list and wakes the host if it differs from the last one. All threads call it.
static void set_list(struct discovery *discovery, const char *service, struct endpoint_list *list)
{
  pthread_mutex_lock(&discovery->mutex);
  struct watched *watched = find_watched(discovery, service);
  bool changed = watched->state == LIST_UNKNOWN || !endpoint_list_equal(&watched->list, list);
  if (changed) {
    endpoint_list_free(&watched->list);
    watched->list = *list;
    *list = (struct endpoint_list){0};
    watched->state = LIST_CHANGED;
  }
  size_t count = watched->list.count;
  pthread_mutex_unlock(&discovery->mutex);
  endpoint_list_free(list);
  if (!changed)
    return;
  log_info("discovery", "the endpoints of a service changed", LOG_STRING("peer", service), LOG_INT("count", count));
  wake_host(discovery);
}

// Runs on the threads of Consul and of DNS, which may wait for the disk.
static void keep_list(void *arg, const char *service, const struct endpoint_list *list)
{
  struct discovery *discovery = arg;
  pthread_mutex_lock(&discovery->kept_mutex);
  saved_lists_keep(&discovery->kept, service, list);
  pthread_mutex_unlock(&discovery->kept_mutex);
}

// Runs on Consul's thread.
static void take_list(void *arg, const char *service, struct endpoint_list *list)
{
  keep_list(arg, service, list);
  set_list(arg, service, list);
}

// Runs on the thread that follows names, and on the host's inside dns_watch.
static void take_resolved(void *arg, const char *service, struct endpoint_list *list)
{
  set_list(arg, service, list);
}

static void start_dns(struct discovery *discovery)
{
  for (const struct static_service *service = discovery->static_services; service != NULL; service = service->next)
    if (service->names.count > 0 && discovery->dns == NULL)
      discovery->dns =
          dns_start(&(struct dns_options){.on_list = take_resolved, .on_name = keep_list, .arg = discovery});
}

static enum status start_consul(struct discovery *discovery, const struct discovery_options *options,
                                struct error *error)
{
  if (options->consul_url == NULL)
    return STATUS_OK;
  struct consul_options consul = {
      .url = options->consul_url,
      .token = options->consul_token,
      .wait_ms = options->wait_ms == 0 ? DEFAULT_WAIT_MS : options->wait_ms,
      .on_list = take_list,
      .arg = discovery,
  };
  return consul_start(&consul, &discovery->consul, error);
}

// Returns whether places come from Consul or DNS, so that they may change and are worth being saved.
static bool uses_names(const struct discovery *discovery, const struct discovery_options *options)
{
  for (const struct static_service *service = discovery->static_services; service != NULL; service = service->next)
    if (service->names.count > 0)
      return true;
  return options->consul_url != NULL;
}

static void open_saved(struct discovery *discovery, const char *path)
{
  saved_lists_open(&discovery->saved, path);
  saved_lists_copy(&discovery->kept, &discovery->saved);
}

enum status discovery_create(const struct discovery_options *options, struct discovery **out, struct error *error)
{
  struct discovery *discovery = calloc(1, sizeof(*discovery));
  CHECK(discovery != NULL);
  CHECK(pthread_mutex_init(&discovery->mutex, NULL) == 0);
  CHECK(pthread_mutex_init(&discovery->kept_mutex, NULL) == 0);
  discovery->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  CHECK(discovery->event_fd >= 0);
  enum status status = static_list_parse(slice_from_string(options->static_list), &discovery->static_services, error);
  if (status == STATUS_OK && uses_names(discovery, options))
    open_saved(discovery, options->saved_file);
  if (status == STATUS_OK)
    status = start_consul(discovery, options, error);
  if (status != STATUS_OK) {
    discovery_free(&discovery);
    return status;
  }
  start_dns(discovery);
  *out = discovery;
  return STATUS_OK;
}

static void free_watched(struct watched *watched)
{
  while (watched != NULL) {
    struct watched *next = watched->next;
    endpoint_list_free(&watched->list);
    free(watched->service);
    free(watched);
    watched = next;
  }
}

void discovery_free(struct discovery **discovery_pointer)
{
  struct discovery *discovery = *discovery_pointer;
  if (discovery == NULL)
    return;
  *discovery_pointer = NULL;
  discovery_deregister(discovery, FREE_TIMEOUT_MS);
  consul_free(&discovery->consul);
  dns_free(&discovery->dns);
  saved_lists_close(&discovery->saved);
  saved_lists_close(&discovery->kept);
  static_list_free(&discovery->static_services);
  free_watched(discovery->watched);
  close(discovery->event_fd);
  pthread_mutex_destroy(&discovery->mutex);
  pthread_mutex_destroy(&discovery->kept_mutex);
  free(discovery);
}

static void add_watched(struct discovery *discovery, const char *service)
{
  struct watched *watched = calloc(1, sizeof(*watched));
  CHECK(watched != NULL);
  watched->service = memory_copy_string(service);
  struct slice label = slice_from_string(watched->service);
  watched->updates = metrics_series(METRIC_DISCOVERY_UPDATES, &label, 1);
  pthread_mutex_lock(&discovery->mutex);
  watched->next = discovery->watched;
  discovery->watched = watched;
  pthread_mutex_unlock(&discovery->mutex);
}

// Begins with the list that was saved, so that a start waits for Consul neither when it is away nor when it is there.
static void follow_in_consul(struct discovery *discovery, const char *service)
{
  const struct endpoint_list *saved = saved_lists_find(&discovery->saved, service);
  if (saved != NULL) {
    struct endpoint_list list = endpoint_list_copy(saved);
    set_list(discovery, service, &list);
  }
  consul_watch(discovery->consul, service, saved);
}

void discovery_watch(struct discovery *discovery, const char *service)
{
  if (find_watched(discovery, service) != NULL)
    return;
  add_watched(discovery, service);
  const struct static_service *fixed = static_list_find_service(discovery->static_services, service);
  if (fixed != NULL && fixed->names.count > 0) {
    dns_watch(discovery->dns, fixed, &discovery->saved);
    return;
  }
  if (fixed == NULL && discovery->consul != NULL) {
    follow_in_consul(discovery, service);
    return;
  }
  if (fixed == NULL)
    log_warn("discovery",
             "no endpoints are known for a service: it is not in the static list, and no Consul is set; calls to it "
             "fail",
             LOG_STRING("peer", service));
  struct endpoint_list list = {0};
  if (fixed != NULL)
    list = endpoint_list_copy(&fixed->list);
  set_list(discovery, service, &list);
}

int discovery_fd(const struct discovery *discovery)
{
  return discovery->event_fd;
}

// Copies a list that has changed, because the callback must not run under the mutex. False when nothing has changed.
static bool take_change(struct discovery *discovery, struct watched *watched, struct endpoint_list *out)
{
  pthread_mutex_lock(&discovery->mutex);
  bool changed = watched->state == LIST_CHANGED;
  if (changed) {
    *out = endpoint_list_copy(&watched->list);
    watched->state = LIST_CURRENT;
  }
  pthread_mutex_unlock(&discovery->mutex);
  return changed;
}

void discovery_process(struct discovery *discovery, discovery_changed_fn *changed, void *arg)
{
  uint64_t ignored;
  ssize_t got = read(discovery->event_fd, &ignored, sizeof(ignored));
  (void)got;
  for (struct watched *watched = discovery->watched; watched != NULL; watched = watched->next) {
    struct endpoint_list list;
    if (!take_change(discovery, watched, &list))
      continue;
    metric_add(watched->updates, 1);
    changed(arg, watched->service, list.endpoints, list.count);
    endpoint_list_free(&list);
  }
}

void discovery_register(struct discovery *discovery, const struct discovery_registration *registration)
{
  if (discovery->consul != NULL)
    consul_register(discovery->consul, registration);
}

void discovery_deregister(struct discovery *discovery, uint32_t timeout_ms)
{
  if (discovery->consul != NULL)
    consul_deregister(discovery->consul, timeout_ms);
}

bool discovery_consul_up(const struct discovery *discovery)
{
  return discovery->consul == NULL || consul_up(discovery->consul);
}
