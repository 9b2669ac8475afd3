// Passwords: argon2id (RFC 9106) through libsodium. CPU-bound and memory-hungry: call it in the thread pool.
#ifndef BULKHEAD_SECURITY_PASSWORD_H
#define BULKHEAD_SECURITY_PASSWORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/slice.h"
#include "common/base/status.h"

// Longer ones are refused, so that no request makes the hash read megabytes (NIST SP 800-63B asks to accept at least
// 64).
#define PASSWORD_MAX_BYTES 1024
#define PASSWORD_HASH_SIZE 128  // with its zero; the PHC string "$argon2id$v=19$m=…"

struct password_cost {
  uint64_t operations;  // passes; OWASP: 2 with 19 MiB
  size_t memory_bytes;
};

// INVALID_ARGUMENT for an empty or too long password or a cost outside what libsodium takes; RESOURCE_EXHAUSTED when
// the memory for it cannot be had.
enum status password_hash(struct slice password, const struct password_cost *cost,
                          char out[PASSWORD_HASH_SIZE]) MUST_CHECK;
// Whether it fits; false for a malformed hash, and for one that is not argon2id.
bool password_verify(struct slice password, const char *hash);
// Takes as long as a verification of the same cost; for unknown accounts.
void password_verify_dummy(struct slice password, const struct password_cost *cost);
// The hash was made with another cost: hash again at the next login.
bool password_needs_rehash(const char *hash, const struct password_cost *cost);

#endif
