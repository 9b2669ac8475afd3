// The last known endpoints of services in a file, for a start without Consul or DNS. A line names one endpoint: "item
// item-1 tcp://10.0.0.1:7000", with its zone behind where that is known: "item item-1 tcp://10.0.0.1:7000 eu-1a"; or
// one by a name that DNS resolves, which knows no zones: "dns+tcp://item:7000 ...". Whoever can write the file decides
// only where is dialled: who answers there must still prove its name.
#ifndef BULKHEAD_DISCOVERY_SAVED_LISTS_INTERNAL_H
#define BULKHEAD_DISCOVERY_SAVED_LISTS_INTERNAL_H

#include <stdbool.h>

#include "common/base/slice.h"
#include "common/base/strbuf.h"
#include "common/discovery/static_list_internal.h"

// A file that is larger is not read, and a longer text is not written.
#define SAVED_LISTS_MAX_BYTES ((size_t)1024 * 1024)
// The longest name of a service: a URL of 255 bytes with dns+ in front.
#define SAVED_LISTS_NAME_BYTES 259

// A zeroed one has no file: it holds nothing and saves nothing.
struct saved_lists {
  char *path;
  struct static_service *services;
  struct strbuf written;  // what the file holds
  bool has_failed;        // the last attempt to write, so that the next failure is not logged
};

// Reads a text that saved_lists_format has written. False when it is anything else; then there is nothing to free.
bool saved_lists_parse(struct slice text, struct static_service **out) MUST_CHECK;
void saved_lists_format(const struct static_service *services, struct strbuf *out);

// Reads the file at `path`, which need not exist; NULL for none. What is wrong with it is logged, and it counts as
// empty.
void saved_lists_open(struct saved_lists *saved, const char *path);
// Makes `out` hold what `from` does, for another thread.
void saved_lists_copy(struct saved_lists *out, const struct saved_lists *from);
void saved_lists_close(struct saved_lists *saved);
// Finds the endpoints of a service; NULL when there are none.
const struct endpoint_list *saved_lists_find(const struct saved_lists *saved, const char *service);
// Takes the endpoints of a service and writes the file if they are news. An empty list changes nothing, because the
// last instances may come back where they were. A file that cannot be written is logged once, and tried again with the
// next change.
void saved_lists_keep(struct saved_lists *saved, const char *service, const struct endpoint_list *list);

#endif
