// Counts what each client address holds of the gateway, over all of its workers: connections, and bytes of bodies.
//
// The counts are in memory that the workers share. Each worker has a slot of its own, in which it alone counts, so that
// nothing is locked; what an address holds is the sum over the slots. What a worker that died had counted leaves with
// its slot: readers pass over the slots of processes that are gone, and the next worker to start takes them.
//
// Two workers that admit an address at the same moment may each not see what the other adds. So a limit may be
// exceeded by what each further worker admits at that moment: a connection, or the bytes of one body. An address for
// which a slot has no room is not counted.
#ifndef BULKHEAD_GATEWAY_ADDRESS_COUNTS_H
#define BULKHEAD_GATEWAY_ADDRESS_COUNTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct address_slot;

enum address_resource {
  ADDRESS_CONNECTIONS,
  ADDRESS_BODY_BYTES,
  ADDRESS_RESOURCES  // the number of resources
};

// A worker's view of the shared counts.
struct address_counts {
  struct address_slot *slots;
  size_t slot_count;
  struct address_slot *own;  // NULL: nothing is counted
};

// Returns the key that an address counts under: an IPv4 address, also one inside IPv6, or the /64 prefix of an IPv6
// address. False for other families, such as Unix sockets.
bool address_key(const struct sockaddr *address, uint64_t *key);

// Returns the bytes that `slots` slots take.
size_t address_counts_size(size_t slots);
// Takes a free slot of `memory` (shared, zeroed when it is made, aligned to 8) for this process. False where all slots
// belong to living processes; nothing is counted then.
bool address_counts_attach(struct address_counts *counts, void *memory, size_t slots);
// Frees the slot of this process. Does nothing without one.
void address_counts_detach(struct address_counts *counts);

// Returns what an address holds.
uint64_t address_held(const struct address_counts *counts, uint64_t key, enum address_resource resource);
// Returns what all addresses hold.
uint64_t address_held_by_all(const struct address_counts *counts, enum address_resource resource);
// Counts what an address takes. False where it could not be counted; it must not be given back then.
bool address_take(struct address_counts *counts, uint64_t key, enum address_resource resource, uint64_t amount);
// Counts what an address gives back, which it has taken from this process.
void address_give_back(struct address_counts *counts, uint64_t key, enum address_resource resource, uint64_t amount);

#endif
