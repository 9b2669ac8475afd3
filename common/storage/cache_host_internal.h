// Which host and network namespace this process is in, and who listens there: what tells a dead process from one that
// cannot be reached.
#ifndef BULKHEAD_STORAGE_CACHE_HOST_INTERNAL_H
#define BULKHEAD_STORAGE_CACHE_HOST_INTERNAL_H

#include <stdbool.h>

// Returns a name that only processes of this host, since its boot, and of this network namespace have. Where it cannot
// be known, a name that no other process has.
const char *cache_host_name(void);
// Tells whether the address names one host by its number ("tcp://192.0.2.1:9000"). A name may lead to several
// processes, and each host has a loopback of its own.
bool cache_host_is_number(const char *address);
// Tells whether nobody listens on an address of this host ("tcp://127.0.0.1:9000"). False for an address of another
// host, and for one that is no IP address.
bool cache_host_is_free(const char *address);

#endif
