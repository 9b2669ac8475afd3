// Endpoints from a setting instead of Consul: "item=tcp://a:1,tcp://b:1;user=dns+tcp://c:1".
#ifndef BULKHEAD_DISCOVERY_STATIC_LIST_INTERNAL_H
#define BULKHEAD_DISCOVERY_STATIC_LIST_INTERNAL_H

#include "common/base/slice.h"
#include "common/base/status.h"
#include "common/discovery/endpoint_list_internal.h"

struct static_service {
  struct static_service *next;
  char *name;
  struct endpoint_list list;   // the id of each is its URL
  struct endpoint_list names;  // those that begin with dns+, without that: their hosts are names to be followed
};

// Parses the setting. Empty parts and spaces around names and URLs are ignored. The message of INVALID_ARGUMENT names
// the part that is wrong.
enum status static_list_parse(struct slice text, struct static_service **out, struct error *error) MUST_CHECK;
void static_list_free(struct static_service **services);
// Finds a service; NULL when the setting does not name it.
const struct static_service *static_list_find_service(const struct static_service *services, const char *name);
// Finds the endpoints of a service that need no DNS; NULL when the setting does not name it.
const struct endpoint_list *static_list_find(const struct static_service *services, const char *name);

#endif
