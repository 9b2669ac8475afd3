// P-256 key pairs on OpenSSL's EVP layer, sealing and SHA-256 on libsodium. Private keys and opened secrets live in the
// caller's arena and are erased when it is freed. Any thread; nothing is shared.
#include "common/security/key.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <sodium.h>

#include "common/base/check.h"
#include "common/base/random.h"
#include "common/security/base64url_internal.h"
#include "common/security/ec_key_internal.h"
#include "common/security/libsodium_internal.h"

#define MIN_SECRET_BYTES 32
#define SEAL_VERSION 1
#define SEAL_OVERHEAD (1 + crypto_aead_xchacha20poly1305_ietf_NPUBBYTES + crypto_aead_xchacha20poly1305_ietf_ABYTES)

struct secret_bytes {
  void *data;
  size_t size;
};

static void erase_secret(void *arg)
{
  struct secret_bytes *secret = arg;
  key_erase(secret->data, secret->size);
}

// Allocates room for a secret, which is overwritten before the arena gives its memory back.
static void *allocate_secret(struct arena *arena, size_t size)
{
  struct secret_bytes *secret = arena_alloc(arena, sizeof *secret);
  *secret = (struct secret_bytes){.data = arena_alloc(arena, size), .size = size};
  arena_on_free(arena, erase_secret, secret);
  return secret->data;
}

// Clears OpenSSL's error queue, because a stale entry would be taken for an error of the thread's next TLS operation.
static enum status clear_openssl_errors(enum status status)
{
  ERR_clear_error();
  return status;
}

enum status key_generate(struct arena *arena, const char **private_pem)
{
  EVP_PKEY *key = EVP_EC_gen("P-256");
  BIO *bio = BIO_new(BIO_s_secmem());
  CHECK(bio != NULL);
  enum status status = STATUS_INTERNAL;
  if (key != NULL && PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1) {
    char *text = NULL;
    long size = BIO_get_mem_data(bio, &text);
    CHECK(size > 0);
    char *copy = allocate_secret(arena, (size_t)size + 1);
    memcpy(copy, text, (size_t)size);
    copy[size] = '\0';
    *private_pem = copy;
    status = STATUS_OK;
  }
  BIO_free(bio);
  EVP_PKEY_free(key);
  return status == STATUS_OK ? status : clear_openssl_errors(status);
}

// Computes the thumbprint of RFC 7638 section 3: SHA-256 of the required members in lexicographic order, without white
// space.
static struct slice compute_thumbprint(struct slice x, struct slice y, struct arena *arena)
{
  const char *canonical =
      arena_printf(arena, "{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"" SLICE_FMT "\",\"y\":\"" SLICE_FMT "\"}",
                   SLICE_ARG(x), SLICE_ARG(y));
  unsigned char digest[32];
  key_sha256(slice_from_string(canonical), digest);
  return base64url_text(slice_make(digest, sizeof digest), arena);
}

enum status key_public_parts(const char *private_pem, struct arena *arena, struct slice *x, struct slice *y,
                             struct slice *kid)
{
  struct private_key *key = NULL;
  unsigned char x_bytes[EC_COORDINATE_SIZE], y_bytes[EC_COORDINATE_SIZE];
  enum status status = private_key_parse(private_pem, &key);
  if (status == STATUS_OK && !ec_private_key_point(key, x_bytes, y_bytes))
    status = STATUS_INVALID_ARGUMENT;
  private_key_free(&key);
  if (status != STATUS_OK)
    return status;
  *x = base64url_text(slice_make(x_bytes, sizeof x_bytes), arena);
  *y = base64url_text(slice_make(y_bytes, sizeof y_bytes), arena);
  *kid = compute_thumbprint(*x, *y, arena);
  return STATUS_OK;
}

// Derives the key as BLAKE2b of a label and the secret. Because of the label, the same secret used for another purpose
// gives another key.
static void derive_seal_key(struct slice secret, unsigned char key[crypto_aead_xchacha20poly1305_ietf_KEYBYTES])
{
  static const char label[] = "bulkhead seal v1";
  crypto_generichash_state state;
  CHECK(crypto_generichash_init(&state, NULL, 0, crypto_aead_xchacha20poly1305_ietf_KEYBYTES) == 0);
  CHECK(crypto_generichash_update(&state, (const unsigned char *)label, sizeof label) == 0);
  CHECK(crypto_generichash_update(&state, (const unsigned char *)secret.data, secret.size) == 0);
  CHECK(crypto_generichash_final(&state, key, crypto_aead_xchacha20poly1305_ietf_KEYBYTES) == 0);
  sodium_memzero(&state, sizeof state);
}

// Writes the sealed form: version byte, nonce, ciphertext with its tag.
enum status key_seal(struct slice secret, const char *context, struct slice plain, struct arena *arena,
                     struct slice *sealed)
{
  initialise_libsodium();
  if (secret.size < MIN_SECRET_BYTES)
    return STATUS_INVALID_ARGUMENT;
  unsigned char key[crypto_aead_xchacha20poly1305_ietf_KEYBYTES];
  derive_seal_key(secret, key);
  unsigned char *out = arena_alloc(arena, plain.size + SEAL_OVERHEAD);
  out[0] = SEAL_VERSION;
  unsigned char *nonce = out + 1;
  random_bytes(nonce, crypto_aead_xchacha20poly1305_ietf_NPUBBYTES);
  unsigned char *cipher = nonce + crypto_aead_xchacha20poly1305_ietf_NPUBBYTES;
  CHECK(crypto_aead_xchacha20poly1305_ietf_encrypt(cipher, NULL, (const unsigned char *)plain.data, plain.size,
                                                   (const unsigned char *)context, strlen(context), NULL, nonce,
                                                   key) == 0);
  key_erase(key, sizeof key);
  *sealed = slice_make(out, plain.size + SEAL_OVERHEAD);
  return STATUS_OK;
}

enum status key_open(struct slice secret, const char *context, struct slice sealed, struct arena *arena,
                     struct slice *plain)
{
  initialise_libsodium();
  if (secret.size < MIN_SECRET_BYTES || sealed.size < SEAL_OVERHEAD || sealed.data[0] != SEAL_VERSION)
    return STATUS_FAILED_PRECONDITION;
  unsigned char key[crypto_aead_xchacha20poly1305_ietf_KEYBYTES];
  derive_seal_key(secret, key);
  const unsigned char *nonce = (const unsigned char *)sealed.data + 1;
  const unsigned char *cipher = nonce + crypto_aead_xchacha20poly1305_ietf_NPUBBYTES;
  size_t size = sealed.size - SEAL_OVERHEAD;
  unsigned char *out = allocate_secret(arena, size);
  int opened = crypto_aead_xchacha20poly1305_ietf_decrypt(out, NULL, NULL, cipher,
                                                          size + crypto_aead_xchacha20poly1305_ietf_ABYTES,
                                                          (const unsigned char *)context, strlen(context), nonce, key);
  key_erase(key, sizeof key);
  if (opened != 0)
    return STATUS_FAILED_PRECONDITION;
  *plain = slice_make(out, size);
  return STATUS_OK;
}

void key_sha256(struct slice bytes, unsigned char out[32])
{
  initialise_libsodium();
  CHECK(crypto_hash_sha256(out, (const unsigned char *)bytes.data, bytes.size) == 0);
}

void key_erase(void *bytes, size_t size)
{
  if (size > 0)
    sodium_memzero(bytes, size);
}
