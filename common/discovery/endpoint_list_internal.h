// A list of endpoints that owns its strings, sorted by id so that equal lists compare equal.
#ifndef BULKHEAD_DISCOVERY_ENDPOINT_LIST_INTERNAL_H
#define BULKHEAD_DISCOVERY_ENDPOINT_LIST_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/slice.h"
#include "common/discovery/discovery.h"

// The most endpoints of one service; further ones are left out.
#define DISCOVERY_MAX_ENDPOINTS 1024

// A zeroed list is ready and empty.
struct endpoint_list {
  struct discovery_endpoint *endpoints;
  size_t count;
};

void endpoint_list_free(struct endpoint_list *list);
// Adds a copy of the endpoint. False when the list is full, the id is not printable ASCII, or the URL cannot be
// dialled.
bool endpoint_list_add(struct endpoint_list *list, struct slice id, struct slice url);
// Adds a copy of the endpoint with its zone. One that is too long or not printable ASCII counts as not known.
bool endpoint_list_add_in_zone(struct endpoint_list *list, struct slice id, struct slice url, struct slice zone);
// Adds a copy of an endpoint of another list. False when the list is full.
bool endpoint_list_add_copy(struct endpoint_list *list, const struct discovery_endpoint *endpoint);
void endpoint_list_sort(struct endpoint_list *list);
bool endpoint_list_equal(const struct endpoint_list *a, const struct endpoint_list *b);
struct endpoint_list endpoint_list_copy(const struct endpoint_list *list);

// Returns whether the URL is "tcp://host:port", "tls+tcp://host:port" or "ipc:///path", in at most 255 bytes of
// printable ASCII.
bool endpoint_url_valid(struct slice url);
// Splits a TCP URL into its host (without brackets) and port. False for other URLs.
bool endpoint_url_split(struct slice url, struct slice *host, int *port);

#endif
