// People write this setting, so errors quote the part that is wrong and show what a right one looks like.
#include "common/discovery/static_list_internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"

// Cuts the text before the next `mark` off the front of `rest`, and trims it.
static struct slice cut_part(struct slice *rest, char mark)
{
  size_t end = slice_find(*rest, mark, 0);
  struct slice part = slice_make(rest->data, end);
  *rest = slice_skip(*rest, end + 1);
  return slice_trim(part);
}

static struct static_service *add_service(struct static_service **services, struct slice name)
{
  struct static_service *service = calloc(1, sizeof(*service));
  CHECK(service != NULL);
  service->name = strndup(name.data, name.size);
  CHECK(service->name != NULL);
  service->next = *services;
  *services = service;
  return service;
}

// Adds an endpoint, or a name to be followed. False for what is neither.
static bool add_place(struct static_service *service, struct slice url)
{
  if (!slice_starts_with(url, SLICE("dns+")))
    return endpoint_list_add(&service->list, url, url);
  struct slice name = slice_skip(url, sizeof("dns+") - 1);
  struct slice host;
  int port;
  return endpoint_url_split(name, &host, &port) && endpoint_list_add(&service->names, name, name);
}

static enum status parse_service(struct slice part, struct static_service **services, struct error *error)
{
  struct slice rest = part;
  size_t mark = slice_find(part, '=', 0);
  struct slice name = cut_part(&rest, '=');
  if (mark == part.size || name.size == 0)
    return error_set(error, STATUS_INVALID_ARGUMENT,
                     "\"" SLICE_FMT "\" is not a list of endpoints: write service=tcp://host:port,tcp://host:port",
                     SLICE_ARG(part));
  struct static_service *service = add_service(services, name);
  if (static_list_find(service->next, service->name) != NULL)
    return error_set(error, STATUS_INVALID_ARGUMENT, "the service \"%s\" is listed twice: join its endpoints by commas",
                     service->name);
  while (rest.size != 0) {
    struct slice url = cut_part(&rest, ',');
    if (url.size != 0 && !add_place(service, url))
      return error_set(error, STATUS_INVALID_ARGUMENT,
                       "\"" SLICE_FMT "\" is not an endpoint of \"%s\": write tcp://host:port, tls+tcp://host:port, "
                       "either with dns+ in front to follow all addresses of the name, or ipc:///path",
                       SLICE_ARG(url), service->name);
  }
  endpoint_list_sort(&service->list);
  return STATUS_OK;
}

enum status static_list_parse(struct slice text, struct static_service **out, struct error *error)
{
  struct static_service *services = NULL;
  while (text.size != 0) {
    struct slice part = cut_part(&text, ';');
    if (part.size == 0)
      continue;
    enum status status = parse_service(part, &services, error);
    if (status == STATUS_OK)
      continue;
    static_list_free(&services);
    return status;
  }
  *out = services;
  return STATUS_OK;
}

void static_list_free(struct static_service **services)
{
  while (*services != NULL) {
    struct static_service *service = *services;
    *services = service->next;
    endpoint_list_free(&service->list);
    endpoint_list_free(&service->names);
    free(service->name);
    free(service);
  }
}

const struct static_service *static_list_find_service(const struct static_service *services, const char *name)
{
  for (; services != NULL; services = services->next)
    if (strcmp(services->name, name) == 0)
      return services;
  return NULL;
}

const struct endpoint_list *static_list_find(const struct static_service *services, const char *name)
{
  const struct static_service *service = static_list_find_service(services, name);
  return service == NULL ? NULL : &service->list;
}
