// Tokens made by hand, for tests and fuzzers: any header and any claims under a true ES256 signature, so that what a
// token says can be tried apart from who signed it. Texts are in the caller's arena.
#ifndef BULKHEAD_TESTS_SECURITY_FORGE_H
#define BULKHEAD_TESTS_SECURITY_FORGE_H

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <string.h>

#include "common/base/arena.h"
#include "common/base/check.h"
#include "common/base/slice.h"
#include "common/security/base64url_internal.h"
#include "common/security/token.h"

#define FORGE_NOW INT64_C(1700000000)
#define FORGE_ISSUER "https://auth.example"
#define FORGE_AUDIENCE "bulkhead"
#define FORGE_KID "test-1"

// The key pair of RFC 7515 appendix A.3.
#define FORGE_X "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
#define FORGE_Y "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
#define FORGE_PRIVATE_PEM                                                                                              \
  "-----BEGIN PRIVATE KEY-----\n"                                                                                      \
  "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgjpsQnnGQmL+YBIff\n"                                                 \
  "H1136cspYG6+0iY7X1fCE9+E9LKhRANCAAR/zc4ncPbEXUGDy+5v20t7WAczNXvp\n"                                                 \
  "7xO6z248e9FURcfxRM0bvZt+hyzf7bnuufSzaV1uqQskrYpGIyiFiOWt\n"                                                         \
  "-----END PRIVATE KEY-----\n"
#define FORGE_HEADER "{\"alg\":\"ES256\",\"kid\":\"" FORGE_KID "\",\"typ\":\"JWT\"}"

// The public key of FORGE_PRIVATE_PEM under FORGE_KID.
static const struct token_public_key FORGE_KEY = {
    .kid = SLICE_INIT(FORGE_KID), .x = SLICE_INIT(FORGE_X), .y = SLICE_INIT(FORGE_Y)};

// Signs `input`: 64 bytes, r and s. `high_s` asks for the greater of the two values of s that are valid.
static inline void forge_signature(struct slice input, bool high_s, unsigned char out[64])
{
  BIO *bio = BIO_new_mem_buf(FORGE_PRIVATE_PEM, -1);
  EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
  EVP_MD_CTX *context = EVP_MD_CTX_new();
  unsigned char der[80];
  size_t der_size = sizeof der;
  CHECK(EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key) == 1);
  CHECK(EVP_DigestSign(context, der, &der_size, (const unsigned char *)input.data, input.size) == 1);
  const unsigned char *place = der;
  ECDSA_SIG *signature = d2i_ECDSA_SIG(NULL, &place, (long)der_size);
  EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
  BIGNUM *other = BN_new();
  CHECK(signature != NULL && group != NULL && BN_sub(other, EC_GROUP_get0_order(group), ECDSA_SIG_get0_s(signature)));
  bool is_high = BN_cmp(ECDSA_SIG_get0_s(signature), other) > 0;
  CHECK(BN_bn2binpad(ECDSA_SIG_get0_r(signature), out, 32) == 32);
  CHECK(BN_bn2binpad(is_high == high_s ? ECDSA_SIG_get0_s(signature) : other, out + 32, 32) == 32);
  BN_free(other);
  EC_GROUP_free(group);
  ECDSA_SIG_free(signature);
  EVP_MD_CTX_free(context);
  EVP_PKEY_free(key);
  BIO_free(bio);
}

// Makes a signed token of any header and any payload.
static inline struct slice forge_token(struct slice header, struct slice payload, struct arena *arena)
{
  struct slice head = base64url_text(header, arena);
  struct slice body = base64url_text(payload, arena);
  struct slice input =
      slice_from_string(arena_printf(arena, SLICE_FMT "." SLICE_FMT, SLICE_ARG(head), SLICE_ARG(body)));
  unsigned char signature[64];
  forge_signature(input, false, signature);
  struct slice tail = base64url_text(slice_make(signature, sizeof signature), arena);
  return slice_from_string(arena_printf(arena, SLICE_FMT "." SLICE_FMT, SLICE_ARG(input), SLICE_ARG(tail)));
}

// Makes claims that are valid at FORGE_NOW, except for one: the claim `name` has the JSON text `value`, or is missing
// when that is NULL. A claim of another name is added. A NULL `name` changes nothing.
static inline struct slice forge_claims(const char *name, const char *value, struct arena *arena)
{
  static const char *const good[][2] = {
      {"iss", "\"" FORGE_ISSUER "\""}, {"sub", "\"user-1\""},   {"aud", "\"" FORGE_AUDIENCE "\""},
      {"iat", "1699999990"},           {"nbf", "1699999990"},   {"exp", "1700000900"},
      {"jti", "\"token-1\""},          {"roles", "[\"user\"]"},
  };
  const char *json = "{";
  bool known = name == NULL;
  for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
    bool chosen = name != NULL && strcmp(name, good[i][0]) == 0;
    known |= chosen;
    const char *text = chosen ? value : good[i][1];
    if (text != NULL)
      json = arena_printf(arena, "%s%s\"%s\":%s", json, json[1] == '\0' ? "" : ",", good[i][0], text);
  }
  if (!known)
    json = arena_printf(arena, "%s,\"%s\":%s", json, name, value);
  return slice_from_string(arena_printf(arena, "%s}", json));
}

#endif
