// Lists are short and change rarely, so each addition reallocates the array.
#include "common/discovery/endpoint_list_internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/memory.h"

#define MAX_TEXT 255

void endpoint_list_free(struct endpoint_list *list)
{
  for (size_t i = 0; i < list->count; i++) {
    free((void *)(uintptr_t)list->endpoints[i].id);
    free((void *)(uintptr_t)list->endpoints[i].url);
    free((void *)(uintptr_t)list->endpoints[i].zone);
  }
  free(list->endpoints);
  *list = (struct endpoint_list){0};
}

// Returns whether the text is printable ASCII without spaces, because ids and URLs go to logs and to the dialer.
static bool is_plain(struct slice text)
{
  if (text.size == 0 || text.size > MAX_TEXT)
    return false;
  for (size_t i = 0; i < text.size; i++)
    if (text.data[i] <= ' ' || text.data[i] > '~')
      return false;
  return true;
}

static bool skip_prefix(struct slice *text, struct slice prefix)
{
  if (!slice_starts_with(*text, prefix))
    return false;
  *text = slice_skip(*text, prefix.size);
  return true;
}

bool endpoint_url_split(struct slice url, struct slice *host, int *port)
{
  if (!skip_prefix(&url, SLICE("tcp://")) && !skip_prefix(&url, SLICE("tls+tcp://")))
    return false;
  size_t end = slice_find(url, ':', 0);
  size_t after = end;
  *host = slice_make(url.data, end);
  if (url.size != 0 && url.data[0] == '[') {
    end = slice_find(url, ']', 0);
    after = end + 1;
    if (end == url.size)
      return false;
    *host = slice_make(url.data + 1, end - 1);
  }
  uint64_t number;
  if (host->size == 0 || after >= url.size || url.data[after] != ':' ||
      !slice_to_uint64(slice_skip(url, after + 1), 1, 65535, &number))
    return false;
  *port = (int)number;
  return true;
}

bool endpoint_url_valid(struct slice url)
{
  struct slice host;
  int port;
  if (!is_plain(url))
    return false;
  if (slice_starts_with(url, SLICE("ipc:///")))
    return url.size > sizeof("ipc:///") - 1;
  return endpoint_url_split(url, &host, &port);
}

bool endpoint_list_add(struct endpoint_list *list, struct slice id, struct slice url)
{
  return endpoint_list_add_in_zone(list, id, url, SLICE(""));
}

bool endpoint_list_add_copy(struct endpoint_list *list, const struct discovery_endpoint *endpoint)
{
  return endpoint_list_add_in_zone(list, slice_from_string(endpoint->id), slice_from_string(endpoint->url),
                                   slice_from_string(endpoint->zone));
}

bool endpoint_list_add_in_zone(struct endpoint_list *list, struct slice id, struct slice url, struct slice zone)
{
  if (list->count == DISCOVERY_MAX_ENDPOINTS || !is_plain(id) || !endpoint_url_valid(url))
    return false;
  list->endpoints = realloc(list->endpoints, (list->count + 1) * sizeof(*list->endpoints));
  CHECK(list->endpoints != NULL);
  list->endpoints[list->count++] = (struct discovery_endpoint){
      .id = memory_copy_text(id),
      .url = memory_copy_text(url),
      .zone = memory_copy_text(is_plain(zone) ? zone : SLICE("")),
  };
  return true;
}

static int compare_endpoints(const void *a, const void *b)
{
  const struct discovery_endpoint *left = a;
  const struct discovery_endpoint *right = b;
  int by_id = strcmp(left->id, right->id);
  int by_url = strcmp(left->url, right->url);
  if (by_id != 0 || by_url != 0)
    return by_id != 0 ? by_id : by_url;
  return strcmp(left->zone, right->zone);
}

void endpoint_list_sort(struct endpoint_list *list)
{
  if (list->count > 1)
    qsort(list->endpoints, list->count, sizeof(*list->endpoints), compare_endpoints);
}

bool endpoint_list_equal(const struct endpoint_list *a, const struct endpoint_list *b)
{
  if (a->count != b->count)
    return false;
  for (size_t i = 0; i < a->count; i++)
    if (compare_endpoints(&a->endpoints[i], &b->endpoints[i]) != 0)
      return false;
  return true;
}

struct endpoint_list endpoint_list_copy(const struct endpoint_list *list)
{
  struct endpoint_list copy = {0};
  for (size_t i = 0; i < list->count; i++)
    CHECK(endpoint_list_add_copy(&copy, &list->endpoints[i]));
  return copy;
}
