// The thread that follows names in DNS: each stands for all instances of a service, as that of a headless service in
// Kubernetes does. getaddrinfo tells no lifetimes, so names are asked for again and again.
#ifndef BULKHEAD_DISCOVERY_DNS_INTERNAL_H
#define BULKHEAD_DISCOVERY_DNS_INTERNAL_H

#include <netdb.h>
#include <stdint.h>

#include "common/discovery/endpoint_list_internal.h"
#include "common/discovery/saved_lists_internal.h"
#include "common/discovery/static_list_internal.h"

struct dns;

// Has the signature and the results of getaddrinfo.
typedef int dns_lookup_fn(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **found);

struct dns_options {
  dns_lookup_fn *lookup;  // NULL: getaddrinfo
  uint32_t pause_ms;      // between two rounds; 0: 2,000
  // Takes the endpoints of a service whenever one of its names stands for others than before, and those that are known
  // without DNS inside dns_watch. It owns the list.
  void (*on_list)(void *arg, const char *service, struct endpoint_list *list);
  // Takes what a name (dns_make_key) stands for then, to be saved. It runs on the thread; NULL: nothing is saved.
  void (*on_name)(void *arg, const char *name, const struct endpoint_list *list);
  void *arg;
};

struct dns *dns_start(const struct dns_options *options);
// Waits for a look-up that is under way, ends the thread and frees everything. Nulls the pointer and accepts NULL in
// it.
void dns_free(struct dns **dns);

// Starts following the names of a service, which must outlive the thread. While a name cannot be resolved, or stands
// for nothing, what it stood for last holds, at first what was saved; the other names are followed meanwhile.
// Connections to an instance that is gone are refused or time out, and calls go elsewhere.
void dns_watch(struct dns *dns, const struct static_service *service, const struct saved_lists *saved);

// The name of a URL in a file of saved lists: "dns+tcp://item:7000".
#define DNS_KEY_BYTES (SAVED_LISTS_NAME_BYTES + 1)
void dns_make_key(char key[DNS_KEY_BYTES], const char *url);

// Adds an endpoint like `url` for each address, without repetitions. Of hosts with addresses of both families those of
// IPv4 are taken, because an instance that has both must not count twice.
void dns_add_addresses(struct endpoint_list *list, struct slice url, const struct addrinfo *found);

#endif
