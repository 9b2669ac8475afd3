// Passwords: argon2id (RFC 9106) through libsodium. CPU-bound and memory-hungry: call it in the thread pool.
#ifndef BULKHEAD_SECURITY_PASSWORD_H
#define BULKHEAD_SECURITY_PASSWORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/slice.h"
#include "common/base/status.h"

// A longer password is refused, so that no request makes the hash read megabytes (NIST SP 800-63B asks to accept at
// least 64 characters).
#define PASSWORD_MAX_BYTES 1024
#define PASSWORD_HASH_SIZE 128  // with its zero; the PHC string "$argon2id$v=19$m=…"

struct password_cost {
  uint64_t operations;  // passes; OWASP: 2 with 19 MiB
  size_t memory_bytes;
};

// Hashes a password. INVALID_ARGUMENT for an empty or too long password, and for a cost that libsodium does not accept;
// RESOURCE_EXHAUSTED when there is not enough memory for it.
enum status password_hash(struct slice password, const struct password_cost *cost,
                          char out[PASSWORD_HASH_SIZE]) MUST_CHECK;
// Tells whether the password matches the hash; false for a malformed hash, and for one that is not argon2id.
bool password_verify(struct slice password, const char *hash);
// Takes as long as a verification of the same cost. A login with an unknown account calls it, so that the time does not
// tell whether the account exists.
void password_verify_dummy(struct slice password, const struct password_cost *cost);
// Tells whether the hash was made with another cost or algorithm, so that the next login should hash again.
bool password_needs_rehash(const char *hash, const struct password_cost *cost);

#endif
