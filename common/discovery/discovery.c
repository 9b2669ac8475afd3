// The lists of the followed services, handed from Consul's thread to the host's: under a mutex, announced by an
// eventfd.
#include "common/discovery/discovery.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/discovery/consul_internal.h"
#include "common/discovery/endpoint_list_internal.h"
#include "common/discovery/static_list_internal.h"
#include "common/observe/log.h"
#include "common/observe/metrics.h"

#define DEFAULT_WAIT_MS 60000
// When discovery_free finds itself still registered.
#define FREE_TIMEOUT_MS 2000

struct followed {
  struct followed *next;
  char *service;
  struct metric_series *updates;
  // Under the mutex.
  struct endpoint_list list;
  bool known;    // a list has come
  bool changed;  // and has not been handed over
};

struct discovery {
  struct static_service *static_services;
  struct consul *consul;  // NULL without
  int event_fd;
  pthread_mutex_t mutex;
  struct followed *followed;  // the row itself: only the host's thread adds, under the mutex
};

static struct followed *find(const struct discovery *discovery, const char *service)
{
  for (struct followed *followed = discovery->followed; followed != NULL; followed = followed->next)
    if (strcmp(followed->service, service) == 0)
      return followed;
  return NULL;
}

static void announce(struct discovery *discovery)
{
  uint64_t one = 1;
  ssize_t written = write(discovery->event_fd, &one, sizeof(one));
  (void)written;
}

// Takes over the list. Any thread.
static void set_list(struct discovery *discovery, const char *service, struct endpoint_list *list)
{
  pthread_mutex_lock(&discovery->mutex);
  struct followed *followed = find(discovery, service);
  bool changed = !followed->known || !endpoint_list_equal(&followed->list, list);
  if (changed) {
    endpoint_list_free(&followed->list);
    followed->list = *list;
    *list = (struct endpoint_list){0};
    followed->known = true;
    followed->changed = true;
  }
  size_t count = followed->list.count;
  pthread_mutex_unlock(&discovery->mutex);
  endpoint_list_free(list);
  if (!changed)
    return;
  log_info("discovery", "the endpoints of a service changed", LOG_STRING("peer", service), LOG_INT("count", count));
  announce(discovery);
}

static void on_list(void *arg, const char *service, struct endpoint_list *list)
{
  set_list(arg, service, list);
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
      .on_list = on_list,
      .arg = discovery,
  };
  return consul_start(&consul, &discovery->consul, error);
}

enum status discovery_create(const struct discovery_options *options, struct discovery **out, struct error *error)
{
  struct discovery *discovery = calloc(1, sizeof(*discovery));
  CHECK(discovery != NULL);
  CHECK(pthread_mutex_init(&discovery->mutex, NULL) == 0);
  discovery->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  CHECK(discovery->event_fd >= 0);
  enum status status = static_list_parse(slice_from_string(options->static_list), &discovery->static_services, error);
  if (status == STATUS_OK)
    status = start_consul(discovery, options, error);
  if (status != STATUS_OK) {
    discovery_free(&discovery);
    return status;
  }
  *out = discovery;
  return STATUS_OK;
}

static void free_followed(struct followed *followed)
{
  while (followed != NULL) {
    struct followed *next = followed->next;
    endpoint_list_free(&followed->list);
    free(followed->service);
    free(followed);
    followed = next;
  }
}

void discovery_free(struct discovery **discovery_pointer)
{
  struct discovery *discovery = *discovery_pointer;
  if (discovery == NULL)
    return;
  *discovery_pointer = NULL;
  discovery_deregister(discovery, FREE_TIMEOUT_MS);
  consul_stop(&discovery->consul);
  static_list_free(&discovery->static_services);
  free_followed(discovery->followed);
  close(discovery->event_fd);
  pthread_mutex_destroy(&discovery->mutex);
  free(discovery);
}

static void add_followed(struct discovery *discovery, const char *service)
{
  struct followed *followed = calloc(1, sizeof(*followed));
  CHECK(followed != NULL);
  followed->service = strdup(service);
  CHECK(followed->service != NULL);
  struct slice label = slice_from_string(followed->service);
  followed->updates = metrics_series(METRIC_DISCOVERY_UPDATES, &label, 1);
  pthread_mutex_lock(&discovery->mutex);
  followed->next = discovery->followed;
  discovery->followed = followed;
  pthread_mutex_unlock(&discovery->mutex);
}

void discovery_watch(struct discovery *discovery, const char *service)
{
  if (find(discovery, service) != NULL)
    return;
  add_followed(discovery, service);
  const struct endpoint_list *fixed = static_list_find(discovery->static_services, service);
  if (fixed == NULL && discovery->consul != NULL) {
    consul_watch(discovery->consul, service);
    return;
  }
  if (fixed == NULL)
    log_warn("discovery", "a service is in no static list, and there is no Consul to ask", LOG_STRING("peer", service));
  struct endpoint_list list = {0};
  if (fixed != NULL)
    list = endpoint_list_copy(fixed);
  set_list(discovery, service, &list);
}

int discovery_fd(const struct discovery *discovery)
{
  return discovery->event_fd;
}

// A copy, for the callback must not run under the mutex. False when nothing is new.
static bool take_change(struct discovery *discovery, struct followed *followed, struct endpoint_list *out)
{
  pthread_mutex_lock(&discovery->mutex);
  bool changed = followed->changed;
  followed->changed = false;
  if (changed)
    *out = endpoint_list_copy(&followed->list);
  pthread_mutex_unlock(&discovery->mutex);
  return changed;
}

void discovery_process(struct discovery *discovery, discovery_changed_fn *changed, void *arg)
{
  uint64_t ignored;
  ssize_t got = read(discovery->event_fd, &ignored, sizeof(ignored));
  (void)got;
  for (struct followed *followed = discovery->followed; followed != NULL; followed = followed->next) {
    struct endpoint_list list;
    if (!take_change(discovery, followed, &list))
      continue;
    metric_add(followed->updates, 1);
    changed(arg, followed->service, list.endpoints, list.count);
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
