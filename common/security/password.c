// argon2id through libsodium; a hash of another algorithm matches no password. Keeps no state; any thread.
#include "common/security/password.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "common/base/compiler.h"
#include "common/observe/metrics.h"
#include "common/security/key.h"
#include "common/security/libsodium_internal.h"

_Static_assert(PASSWORD_HASH_SIZE >= crypto_pwhash_STRBYTES, "libsodium writes crypto_pwhash_STRBYTES");

static bool has_valid_size(struct slice password)
{
  return password.size > 0 && password.size <= PASSWORD_MAX_BYTES;
}

static bool is_argon2id(const char *hash)
{
  size_t size = strnlen(hash, crypto_pwhash_STRBYTES);
  return size < crypto_pwhash_STRBYTES && slice_starts_with(slice_make(hash, size), SLICE("$argon2id$"));
}

// Counts a computation of a hash: operators see what logins cost, and tests that unknown accounts cost the same.
static void count_computation(void)
{
  metric_add_from_any_thread(metrics_single(METRIC_PASSWORD_HASHES), 1);
}

enum status password_hash(struct slice password, const struct password_cost *cost, char out[PASSWORD_HASH_SIZE])
{
  initialise_libsodium();
  if (!has_valid_size(password))
    return STATUS_INVALID_ARGUMENT;
  if (cost->operations < crypto_pwhash_OPSLIMIT_MIN || cost->operations > crypto_pwhash_OPSLIMIT_MAX ||
      cost->memory_bytes < crypto_pwhash_MEMLIMIT_MIN || cost->memory_bytes > crypto_pwhash_MEMLIMIT_MAX)
    return STATUS_INVALID_ARGUMENT;
  memset(out, 0, PASSWORD_HASH_SIZE);
  errno = 0;
  count_computation();
  if (crypto_pwhash_str_alg(out, password.data, password.size, cost->operations, cost->memory_bytes,
                            crypto_pwhash_ALG_ARGON2ID13) == 0)
    return STATUS_OK;
  return errno == ENOMEM ? STATUS_RESOURCE_EXHAUSTED : STATUS_INTERNAL;
}

bool password_verify(struct slice password, const char *hash)
{
  initialise_libsodium();
  if (!has_valid_size(password) || !is_argon2id(hash))
    return false;
  count_computation();
  return crypto_pwhash_str_verify(hash, password.data, password.size) == 0;
}

void password_verify_dummy(struct slice password, const struct password_cost *cost)
{
  initialise_libsodium();
  if (!has_valid_size(password))
    return;
  static const unsigned char salt[crypto_pwhash_SALTBYTES];
  unsigned char digest[32];  // as long as the one in a PHC string, for the same work
  // Only the time of the computation is of use, not its digest.
  if (crypto_pwhash(digest, sizeof digest, password.data, password.size, salt, cost->operations, cost->memory_bytes,
                    crypto_pwhash_ALG_ARGON2ID13) == 0)
    count_computation();
  key_erase(digest, sizeof digest);
}

bool password_needs_rehash(const char *hash, const struct password_cost *cost)
{
  initialise_libsodium();
  return !is_argon2id(hash) || crypto_pwhash_str_needs_rehash(hash, cost->operations, cost->memory_bytes) != 0;
}
