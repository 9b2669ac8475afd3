// SipHash-1-3 (https://www.aumasson.jp/siphash/siphash.pdf): a keyed hash for tables whose keys a peer may choose.
#ifndef BULKHEAD_STORAGE_SIPHASH_H
#define BULKHEAD_STORAGE_SIPHASH_H

#include <stdint.h>

#include "common/base/slice.h"

struct siphash_key {
  uint64_t k0;
  uint64_t k1;
};

uint64_t siphash13(const struct siphash_key *key, struct slice bytes);

#endif
