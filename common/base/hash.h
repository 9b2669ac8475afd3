// The one hash function of the program: SipHash-1-3 (https://www.aumasson.jp/siphash/siphash.pdf), whose values nobody
// can choose without its key, so that no peer can fill one bucket of a hash table.
#ifndef BULKHEAD_BASE_HASH_H
#define BULKHEAD_BASE_HASH_H

#include <stdint.h>

#include "common/base/slice.h"

// Hashes bytes for tables in memory, under a random key of this process: the values differ from process to process, but
// not between a process and what it forks. Any thread may call it.
uint64_t hash_bytes(struct slice bytes);
// Hashes two integers under the same key as hash_bytes. Any thread may call it.
uint64_t hash_integers(uint64_t first, uint64_t second);

// Hashes bytes under a fixed key, so that the value is the same in every process and release. It identifies versions,
// such as an ETag; tables in memory use hash_bytes.
uint64_t hash_fingerprint(struct slice bytes);

#endif
