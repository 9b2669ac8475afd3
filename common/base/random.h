// Random numbers from the kernel.
#ifndef BULKHEAD_BASE_RANDOM_H
#define BULKHEAD_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

// Fills `out` with bytes that are fit for keys. They come from a buffer of the calling thread, which getrandom(2)
// refills, which is erased as it is used and thrown away after a fork.
void random_bytes(void *out, size_t size);
// Returns a number from 0 to below - 1 without bias; `below` must be more than 0.
uint64_t random_below(uint64_t below);

#endif
