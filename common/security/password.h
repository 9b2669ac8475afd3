// Passwords: argon2id (RFC 9106) through libsodium. CPU-bound and memory-hungry: call it in the thread pool.
#ifndef BULKHEAD_SECURITY_PASSWORD_H
#define BULKHEAD_SECURITY_PASSWORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/slice.h"
#include "common/base/status.h"

#define PASSWORD_HASH_SIZE 128  // with its zero; the PHC string "$argon2id$v=19$m=…"

struct password_cost {
  uint64_t operations;  // passes; OWASP: 2 with 19 MiB
  size_t memory_bytes;
};

enum password_match {
  PASSWORD_WRONG,
  PASSWORD_RIGHT,
  PASSWORD_RIGHT_AS_GIVEN,  // the hash is of the text before it was normalised: hash it again
};

// Hashes a password, normalised (password_text_internal.h). INVALID_ARGUMENT for one that is empty, too long or no
// UTF-8, and for a cost that libsodium does not accept; RESOURCE_EXHAUSTED when there is not enough memory for it.
enum status password_hash(struct slice password, const struct password_cost *cost,
                          char out[PASSWORD_HASH_SIZE]) MUST_CHECK;
// Compares a password with a hash; PASSWORD_WRONG for a malformed hash, and for one that is not argon2id. Earlier
// releases hashed the text as it was given: where that differs from the normalised one, it is compared, too.
enum password_match password_verify(struct slice password, const char *hash);
// Does the work of a comparison with a wrong password of this cost. A login with an unknown account calls it, so that
// the time does not tell whether the account exists.
void password_verify_dummy(struct slice password, const struct password_cost *cost);
// Tells whether the hash was made with another cost or algorithm, so that the next login should hash again.
bool password_needs_rehash(const char *hash, const struct password_cost *cost);

#endif
