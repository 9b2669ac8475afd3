// Where a request comes from, as limits count it: an IPv4 address, or the /64 of an IPv6 address, because one host may
// choose any address in it.
#ifndef BULKHEAD_BASE_SOURCE_H
#define BULKHEAD_BASE_SOURCE_H

#include "common/base/slice.h"

// The size of the longest source or network, with its zero.
#define SOURCE_TEXT_SIZE 64

// Writes the source of an address: "192.0.2.7", "2001:db8:0:1::/64". An IPv4 address in IPv6 ("::ffff:192.0.2.7")
// counts as itself; what is no address is "unknown".
void source_of_address(struct slice address, char out[SOURCE_TEXT_SIZE]);
// Writes the site of an address: "192.0.2.7", "2001:db8::/48". One IPv6 line is often given
// as much.
void source_site(struct slice address, char out[SOURCE_TEXT_SIZE]);
// Writes the network that a source belongs to: "192.0.2.0/24", "2001:db8::/48".
void source_network(struct slice address, char out[SOURCE_TEXT_SIZE]);

#endif
