// Hosts of the drills' own: network namespaces, each joined to the network of the stack by a pair of virtual
// interfaces, so that a host can be cut off or vanish while its processes run. `make fault` gives its stack a network
// in which that is possible; elsewhere such drills are skipped.
#ifndef BULKHEAD_TESTS_SUPPORT_NETWORK_H
#define BULKHEAD_TESTS_SUPPORT_NETWORK_H

#include <stdbool.h>

// Tells whether hosts can be made here.
bool network_is_own(void);

// Makes host `number`, of 1 to 9. What it sends to a port of 127.0.0.1 arrives at that port of the stack's network,
// because Consul and other services are told to be there.
void network_add_host(unsigned number);
// Removes the host if there is one. Its processes must have ended.
void network_remove_host(unsigned number);
// Returns the address of the host.
const char *network_address_of(unsigned number);

// Loses each packet from and to the host without a word.
void network_cut(unsigned number);
// Lets packets through again.
void network_join(unsigned number);

// Runs "deploy/local/stack ACTION NAME" in the host. Asserts that it succeeds.
void network_stack(unsigned number, const char *action, const char *name);
// Runs a shell command in the host. Asserts that it succeeds.
void network_run(unsigned number, const char *command);

#endif
