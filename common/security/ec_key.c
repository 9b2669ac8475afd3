// ES256 verification on OpenSSL itself. libjwt would read the key from PEM for each token, which takes several times as
// long as the verification (bench_token), and would parse a stranger's JSON before it looks at the signature.
//
// OpenSSL's errors are cleared here: stale entries in the queue of the thread would be taken for errors of the next TLS
// operation of the process that we live in (nginx). Any thread; keys do not change.
#include "common/security/ec_key_internal.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>
#include <stdlib.h>

#include "common/base/check.h"
#include "common/security/base64url_internal.h"

// Stands for OpenSSL's object, so that its type stays out of our headers.
struct ec_public_key {
  EVP_PKEY *evp;
};

static bool coordinate_bytes(struct slice text, unsigned char out[EC_COORDINATE_SIZE])
{
  struct arena arena;
  struct slice bytes;
  arena_init(&arena);
  bool ok = text.size == EC_COORDINATE_TEXT_SIZE && base64url_decode_strict(text, &arena, &bytes);
  if (ok)
    memcpy(out, bytes.data, EC_COORDINATE_SIZE);
  arena_free(&arena);
  return ok;
}

// NULL where the point is not on the curve: the import checks it.
static EVP_PKEY *key_from_point(unsigned char *point, size_t size)
{
  char group[] = SN_X9_62_prime256v1;
  OSSL_PARAM params[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
      OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, size),
      OSSL_PARAM_construct_end(),
  };
  EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
  CHECK(context != NULL && EVP_PKEY_fromdata_init(context) == 1);
  EVP_PKEY *key = NULL;
  if (EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
    key = NULL;
  EVP_PKEY_CTX_free(context);
  ERR_clear_error();
  return key;
}

enum status ec_public_key_create(struct slice x, struct slice y, struct ec_public_key **key)
{
  unsigned char point[1 + 2 * EC_COORDINATE_SIZE];
  point[0] = 4;  // SEC 1 section 2.3.3: both coordinates follow
  if (!coordinate_bytes(x, point + 1) || !coordinate_bytes(y, point + 1 + EC_COORDINATE_SIZE))
    return STATUS_INVALID_ARGUMENT;
  EVP_PKEY *evp = key_from_point(point, sizeof point);
  if (evp == NULL)
    return STATUS_INVALID_ARGUMENT;
  *key = malloc(sizeof **key);
  CHECK(*key != NULL);
  (*key)->evp = evp;
  return STATUS_OK;
}

void ec_public_key_free(struct ec_public_key **key)
{
  if (*key == NULL)
    return;
  EVP_PKEY_free((*key)->evp);
  free(*key);
  *key = NULL;
}

// OpenSSL wants the pair in DER. Returns the size; `*der` is for OPENSSL_free.
static int signature_der(const unsigned char raw[EC_SIGNATURE_SIZE], unsigned char **der)
{
  ECDSA_SIG *signature = ECDSA_SIG_new();
  BIGNUM *r = BN_bin2bn(raw, EC_COORDINATE_SIZE, NULL);
  BIGNUM *s = BN_bin2bn(raw + EC_COORDINATE_SIZE, EC_COORDINATE_SIZE, NULL);
  CHECK(signature != NULL && r != NULL && s != NULL);
  CHECK(ECDSA_SIG_set0(signature, r, s) == 1);
  *der = NULL;
  int size = i2d_ECDSA_SIG(signature, der);
  ECDSA_SIG_free(signature);
  CHECK(size > 0);
  return size;
}

bool ec_signature_fits(const struct ec_public_key *key, struct slice input,
                       const unsigned char signature[EC_SIGNATURE_SIZE])
{
  unsigned char *der;
  int der_size = signature_der(signature, &der);
  EVP_MD_CTX *context = EVP_MD_CTX_new();
  CHECK(context != NULL && EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key->evp) == 1);
  // 1 alone means yes: 0 is another signature, a negative result one that is none at all.
  bool fits = EVP_DigestVerify(context, der, (size_t)der_size, (const unsigned char *)input.data, input.size) == 1;
  EVP_MD_CTX_free(context);
  OPENSSL_free(der);
  if (!fits)
    ERR_clear_error();
  return fits;
}
