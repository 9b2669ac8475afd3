// A list of endpoints that owns its strings, sorted by id so that equal lists compare equal.
#ifndef BULKHEAD_DISCOVERY_ENDPOINT_LIST_INTERNAL_H
#define BULKHEAD_DISCOVERY_ENDPOINT_LIST_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/slice.h"
#include "common/discovery/discovery.h"

// Of one service; what comes on top is left out.
#define DISCOVERY_MAX_ENDPOINTS 1024

// A zeroed list is a ready, empty one.
struct endpoint_list {
  struct discovery_endpoint *endpoints;
  size_t count;
};

void endpoint_list_free(struct endpoint_list *list);
// Copies both. False when the list is full, or when the id or the URL is none that could be dialled.
bool endpoint_list_add(struct endpoint_list *list, struct slice id, struct slice url);
void endpoint_list_sort(struct endpoint_list *list);
bool endpoint_list_equal(const struct endpoint_list *a, const struct endpoint_list *b);
struct endpoint_list endpoint_list_copy(const struct endpoint_list *list);

// "tcp://host:port", "tls+tcp://host:port" or "ipc:///path", printable ASCII, at most 255 bytes.
bool endpoint_url_valid(struct slice url);
// The host (without brackets) and port of a TCP URL; false for others.
bool endpoint_url_split(struct slice url, struct slice *host, int *port);

#endif
