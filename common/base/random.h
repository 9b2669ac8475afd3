// The kernel's random bytes.
#ifndef BULKHEAD_BASE_RANDOM_H
#define BULKHEAD_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

// Fit for keys; served from a buffer of the process that is refilled by getrandom(2) and erased as it is used.
// Not shared between threads (each has its own buffer); a fork is noticed.
void random_bytes(void *out, size_t size);
// 0 .. below - 1 without bias; below > 0.
uint64_t random_below(uint64_t below);

#endif
