// argon2id through libsodium; a hash of another algorithm matches no password. Keeps no state; any thread.
#include "common/security/password.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "common/base/compiler.h"
#include "common/observe/metrics.h"
#include "common/security/key.h"
#include "common/security/libsodium_internal.h"
#include "common/security/password_text_internal.h"

_Static_assert(PASSWORD_HASH_SIZE >= crypto_pwhash_STRBYTES, "libsodium writes crypto_pwhash_STRBYTES");

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

static bool is_valid_cost(const struct password_cost *cost)
{
  return cost->operations >= crypto_pwhash_OPSLIMIT_MIN && cost->operations <= crypto_pwhash_OPSLIMIT_MAX &&
         cost->memory_bytes >= crypto_pwhash_MEMLIMIT_MIN && cost->memory_bytes <= crypto_pwhash_MEMLIMIT_MAX;
}

enum status password_hash(struct slice password, const struct password_cost *cost, char out[PASSWORD_HASH_SIZE])
{
  initialise_libsodium();
  if (!is_valid_cost(cost))
    return STATUS_INVALID_ARGUMENT;
  struct password_text text;
  enum status status = password_normalise(password, &text);
  if (status != STATUS_OK)
    return status == STATUS_OUT_OF_RANGE ? STATUS_INVALID_ARGUMENT : status;
  memset(out, 0, PASSWORD_HASH_SIZE);
  errno = 0;
  count_computation();
  int failed = crypto_pwhash_str_alg(out, text.bytes, text.size, cost->operations, cost->memory_bytes,
                                     crypto_pwhash_ALG_ARGON2ID13);
  int error = errno;
  password_text_erase(&text);
  if (failed == 0)
    return STATUS_OK;
  return error == ENOMEM ? STATUS_RESOURCE_EXHAUSTED : STATUS_INTERNAL;
}

// Collects the texts that a given password may have been hashed as: the normalised one, and the given one where it is
// another. It does not depend on the hash, so that an unknown account costs as many computations.
static size_t list_texts(struct slice given, struct password_text *text, struct slice texts[2])
{
  size_t count = 0;
  bool is_text = password_normalise(given, text) == STATUS_OK;
  if (is_text)
    texts[count++] = password_text_slice(text);
  bool is_other = !is_text || !slice_equal(given, texts[0]);
  if (is_other && given.size > 0 && given.size <= PASSWORD_MAX_BYTES)
    texts[count++] = given;
  return count;
}

enum password_match password_verify(struct slice password, const char *hash)
{
  initialise_libsodium();
  if (!is_argon2id(hash))
    return PASSWORD_WRONG;
  struct password_text text;
  struct slice texts[2];
  size_t count = list_texts(password, &text, texts);
  enum password_match match = PASSWORD_WRONG;
  for (size_t i = 0; i < count && match == PASSWORD_WRONG; i++) {
    count_computation();
    if (crypto_pwhash_str_verify(hash, texts[i].data, texts[i].size) == 0)
      match = texts[i].data == text.bytes ? PASSWORD_RIGHT : PASSWORD_RIGHT_AS_GIVEN;
  }
  password_text_erase(&text);
  return match;
}

// Does the work of one comparison. Only the time of the computation is of use, not its digest.
static void compute_in_vain(struct slice text, const struct password_cost *cost)
{
  static const unsigned char salt[crypto_pwhash_SALTBYTES];
  unsigned char digest[32];  // as long as the one in a PHC string, for the same work
  if (crypto_pwhash(digest, sizeof digest, text.data, text.size, salt, cost->operations, cost->memory_bytes,
                    crypto_pwhash_ALG_ARGON2ID13) == 0)
    count_computation();
  key_erase(digest, sizeof digest);
}

void password_verify_dummy(struct slice password, const struct password_cost *cost)
{
  initialise_libsodium();
  struct password_text text;
  struct slice texts[2];
  size_t count = list_texts(password, &text, texts);
  for (size_t i = 0; i < count; i++)
    compute_in_vain(texts[i], cost);
  password_text_erase(&text);
}

bool password_needs_rehash(const char *hash, const struct password_cost *cost)
{
  initialise_libsodium();
  return !is_argon2id(hash) || crypto_pwhash_str_needs_rehash(hash, cost->operations, cost->memory_bytes) != 0;
}
