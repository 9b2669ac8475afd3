// ES256 on OpenSSL itself. libjwt would parse the key's PEM for each token, which takes several times as long as the
// signature or its verification (bench_token), and would parse a stranger's JSON before it checks the signature.
//
// OpenSSL's errors are cleared here. A stale entry in the thread's error queue would be taken for an error of the next
// TLS operation of the process that this code lives in (nginx). Any thread; keys do not change.
#include "common/security/ec_key_internal.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/security/base64url_internal.h"

// Both wrap OpenSSL's object, so that its type stays out of our headers.
struct private_key {
  EVP_PKEY *evp;
};
struct ec_public_key {
  EVP_PKEY *evp;
};

// ---- private keys ----

// Refuses a pass phrase. OpenSSL would ask for that of an encrypted PEM at the terminal; a service must fail instead.
static int refuse_pass_phrase(char *buffer, int size, int writing, void *arg)
{
  (void)buffer;
  (void)size;
  (void)writing;
  (void)arg;
  return -1;
}

static bool is_p256(const EVP_PKEY *key)
{
  char group[32];
  size_t size;
  return EVP_PKEY_get_id(key) == EVP_PKEY_EC && EVP_PKEY_get_group_name(key, group, sizeof group, &size) == 1 &&
         strcmp(group, SN_X9_62_prime256v1) == 0;
}

enum status private_key_parse(const char *pem, struct private_key **key)
{
  BIO *bio = BIO_new_mem_buf(pem, -1);
  CHECK(bio != NULL);
  EVP_PKEY *evp = PEM_read_bio_PrivateKey(bio, NULL, refuse_pass_phrase, NULL);
  BIO_free(bio);
  ERR_clear_error();
  if (evp == NULL || !is_p256(evp)) {
    EVP_PKEY_free(evp);
    return STATUS_INVALID_ARGUMENT;
  }
  *key = malloc(sizeof **key);
  CHECK(*key != NULL);
  (*key)->evp = evp;
  return STATUS_OK;
}

void private_key_free(struct private_key **key)
{
  if (*key == NULL)
    return;
  EVP_PKEY_free((*key)->evp);
  free(*key);
  *key = NULL;
}

static bool read_coordinate(const EVP_PKEY *key, const char *parameter, unsigned char bytes[EC_COORDINATE_SIZE])
{
  BIGNUM *number = NULL;
  bool ok = EVP_PKEY_get_bn_param(key, parameter, &number) == 1 &&
            BN_bn2binpad(number, bytes, EC_COORDINATE_SIZE) == EC_COORDINATE_SIZE;
  BN_free(number);
  return ok;
}

bool ec_private_key_point(const struct private_key *key, unsigned char x[EC_COORDINATE_SIZE],
                          unsigned char y[EC_COORDINATE_SIZE])
{
  bool ok =
      read_coordinate(key->evp, OSSL_PKEY_PARAM_EC_PUB_X, x) && read_coordinate(key->evp, OSSL_PKEY_PARAM_EC_PUB_Y, y);
  ERR_clear_error();
  return ok;
}

void ec_sign(const struct private_key *key, struct slice input, unsigned char signature[EC_SIGNATURE_SIZE])
{
  unsigned char der[EC_SIGNATURE_SIZE + 16];  // two INTEGERs of 33 bytes at most, and three headers of 2
  size_t der_size = sizeof der;
  EVP_MD_CTX *context = EVP_MD_CTX_new();
  CHECK(context != NULL && EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key->evp) == 1);
  CHECK(EVP_DigestSign(context, der, &der_size, (const unsigned char *)input.data, input.size) == 1);
  EVP_MD_CTX_free(context);
  const unsigned char *begin = der;
  ECDSA_SIG *parts = d2i_ECDSA_SIG(NULL, &begin, (long)der_size);
  CHECK(parts != NULL);
  CHECK(BN_bn2binpad(ECDSA_SIG_get0_r(parts), signature, EC_COORDINATE_SIZE) == EC_COORDINATE_SIZE);
  CHECK(BN_bn2binpad(ECDSA_SIG_get0_s(parts), signature + EC_COORDINATE_SIZE, EC_COORDINATE_SIZE) ==
        EC_COORDINATE_SIZE);
  ECDSA_SIG_free(parts);
}

// ---- public keys ----

static bool decode_coordinate(struct slice text, unsigned char out[EC_COORDINATE_SIZE])
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

// Imports a point as a public key. NULL when it is not on the curve, which the import checks.
static EVP_PKEY *import_point(unsigned char *point, size_t size)
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
  if (!decode_coordinate(x, point + 1) || !decode_coordinate(y, point + 1 + EC_COORDINATE_SIZE))
    return STATUS_INVALID_ARGUMENT;
  EVP_PKEY *evp = import_point(point, sizeof point);
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

// Encodes a signature in DER, as OpenSSL wants it. Returns the size; free `*der` with OPENSSL_free.
static int encode_signature(const unsigned char raw[EC_SIGNATURE_SIZE], unsigned char **der)
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

bool ec_verify_signature(const struct ec_public_key *key, struct slice input,
                         const unsigned char signature[EC_SIGNATURE_SIZE])
{
  unsigned char *der;
  int der_size = encode_signature(signature, &der);
  EVP_MD_CTX *context = EVP_MD_CTX_new();
  CHECK(context != NULL && EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key->evp) == 1);
  // Only 1 means yes: 0 is a wrong signature, a negative result a malformed one.
  bool valid = EVP_DigestVerify(context, der, (size_t)der_size, (const unsigned char *)input.data, input.size) == 1;
  EVP_MD_CTX_free(context);
  OPENSSL_free(der);
  if (!valid)
    ERR_clear_error();
  return valid;
}
