#include "tests/support/common/authenticator.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/codec.h"
#include "common/base/random.h"
#include "common/base/strbuf.h"

#define ID_SIZE 20

struct authenticator {
  int algorithm;
  EVP_PKEY *key;
  unsigned char id[ID_SIZE];
  uint32_t counter;
};

static void free_key(void *key)
{
  EVP_PKEY_free(key);
}

struct authenticator *authenticator_create(int algorithm, struct arena *arena)
{
  struct authenticator *authenticator = arena_zalloc(arena, sizeof(*authenticator));
  authenticator->algorithm = algorithm;
  if (algorithm == AUTHENTICATOR_ES256)
    authenticator->key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
  else if (algorithm == AUTHENTICATOR_EDDSA)
    authenticator->key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
  else
    authenticator->key = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
  CHECK(authenticator->key != NULL);
  arena_on_free(arena, free_key, authenticator->key);
  random_bytes(authenticator->id, sizeof(authenticator->id));
  return authenticator;
}

struct slice authenticator_credential_id(const struct authenticator *authenticator)
{
  return slice_make(authenticator->id, sizeof(authenticator->id));
}

void authenticator_set_counter(struct authenticator *authenticator, uint32_t counter)
{
  authenticator->counter = counter;
}

// ---- CBOR ----

static void add_head(struct strbuf *out, unsigned major, size_t number)
{
  CHECK(number < 65536);
  if (number < 24) {
    strbuf_add_byte(out, (char)(major << 5 | number));
  } else if (number < 256) {
    strbuf_add_byte(out, (char)(major << 5 | 24));
    strbuf_add_byte(out, (char)number);
  } else {
    strbuf_add_byte(out, (char)(major << 5 | 25));
    strbuf_add_byte(out, (char)(number >> 8));
    strbuf_add_byte(out, (char)number);
  }
}

static void add_integer(struct strbuf *out, int value)
{
  add_head(out, value < 0, (size_t)(value < 0 ? -1 - value : value));
}

static void add_bytes(struct strbuf *out, struct slice bytes)
{
  add_head(out, 2, bytes.size);
  strbuf_add(out, bytes);
}

static void add_text(struct strbuf *out, const char *text)
{
  add_head(out, 3, strlen(text));
  strbuf_add_string(out, text);
}

// ---- the public key, COSE ----

static void add_number(struct strbuf *out, int label, const struct authenticator *authenticator, const char *name,
                       int size)
{
  unsigned char bytes[256];
  BIGNUM *number = NULL;
  CHECK(EVP_PKEY_get_bn_param(authenticator->key, name, &number) == 1 && BN_bn2binpad(number, bytes, size) == size);
  BN_free(number);
  add_integer(out, label);
  add_bytes(out, slice_make(bytes, (size_t)size));
}

static void add_public_key(struct strbuf *out, const struct authenticator *authenticator)
{
  int algorithm = authenticator->algorithm;
  bool rsa = algorithm == AUTHENTICATOR_RS256, okp = algorithm == AUTHENTICATOR_EDDSA;
  add_head(out, 5, rsa || okp ? 4 : 5);
  add_integer(out, 1);
  add_integer(out, rsa ? 3 : okp ? 1 : 2);
  add_integer(out, 3);
  add_integer(out, algorithm);
  if (rsa) {
    add_number(out, -1, authenticator, "n", 256);
    add_number(out, -2, authenticator, "e", 3);
    return;
  }
  add_integer(out, -1);
  add_integer(out, okp ? 6 : 1);
  if (okp) {
    unsigned char raw[32];
    size_t size = sizeof(raw);
    CHECK(EVP_PKEY_get_raw_public_key(authenticator->key, raw, &size) == 1);
    add_integer(out, -2);
    add_bytes(out, slice_make(raw, size));
    return;
  }
  add_number(out, -2, authenticator, "qx", 32);
  add_number(out, -3, authenticator, "qy", 32);
}

// ---- what is signed ----

static struct slice take(struct strbuf *buf, struct arena *arena)
{
  struct slice copy = arena_copy(arena, strbuf_slice(buf));
  strbuf_free(buf);
  return copy;
}

static struct slice make_client_data(const struct ceremony *ceremony, struct arena *arena)
{
  return slice_from_string(arena_printf(arena, "{\"type\":\"%s\",\"challenge\":\"%s\",\"origin\":\"%s\"%s}",
                                        ceremony->type, ceremony->challenge, ceremony->origin,
                                        ceremony->more == NULL ? ",\"crossOrigin\":false" : ceremony->more));
}

static struct slice make_data(struct authenticator *authenticator, const struct ceremony *ceremony, bool with_key,
                              struct arena *arena)
{
  unsigned char hash[32];
  SHA256((const unsigned char *)ceremony->rp_id, strlen(ceremony->rp_id), hash);
  struct strbuf out;
  strbuf_init(&out, 0);
  strbuf_add(&out, slice_make(hash, sizeof(hash)));
  strbuf_add_byte(&out, (char)(ceremony->flags | (with_key ? 0x40 : 0)));
  for (int shift = 24; shift >= 0; shift -= 8)
    strbuf_add_byte(&out, (char)(authenticator->counter >> shift));
  if (with_key) {
    static const char aaguid[16];
    strbuf_add(&out, slice_make(aaguid, sizeof(aaguid)));
    strbuf_add_byte(&out, 0);
    strbuf_add_byte(&out, ID_SIZE);
    strbuf_add(&out, authenticator_credential_id(authenticator));
    add_public_key(&out, authenticator);
  }
  return take(&out, arena);
}

static struct slice sign(const struct authenticator *authenticator, struct slice data, struct slice client_data,
                         struct arena *arena)
{
  struct strbuf input;
  strbuf_init(&input, 0);
  unsigned char hash[32];
  SHA256((const unsigned char *)client_data.data, client_data.size, hash);
  strbuf_add(&input, data);
  strbuf_add(&input, slice_make(hash, sizeof(hash)));
  unsigned char signature[512];
  size_t size = sizeof(signature);
  EVP_MD_CTX *context = EVP_MD_CTX_new();
  const EVP_MD *digest = authenticator->algorithm == AUTHENTICATOR_EDDSA ? NULL : EVP_sha256();
  CHECK(EVP_DigestSignInit(context, NULL, digest, NULL, authenticator->key) == 1);
  CHECK(EVP_DigestSign(context, signature, &size, (const unsigned char *)input.data, input.size) == 1);
  EVP_MD_CTX_free(context);
  strbuf_free(&input);
  return arena_copy(arena, slice_make(signature, size));
}

struct ceremony_answer authenticator_register(struct authenticator *authenticator, const struct ceremony *ceremony,
                                              const char *format, struct arena *arena)
{
  struct ceremony_answer answer = {.client_data_json = make_client_data(ceremony, arena),
                                   .authenticator_data = make_data(authenticator, ceremony, true, arena)};
  struct strbuf out;
  strbuf_init(&out, 0);
  add_head(&out, 5, 3);
  add_text(&out, "fmt");
  add_text(&out, format);
  add_text(&out, "attStmt");
  if (strcmp(format, "none") == 0) {
    add_head(&out, 5, 0);
  } else {
    add_head(&out, 5, 2);
    add_text(&out, "alg");
    add_integer(&out, authenticator->algorithm);
    add_text(&out, "sig");
    add_bytes(&out, sign(authenticator, answer.authenticator_data, answer.client_data_json, arena));
  }
  add_text(&out, "authData");
  add_bytes(&out, answer.authenticator_data);
  answer.attestation_object = take(&out, arena);
  return answer;
}

struct ceremony_answer authenticator_sign_in(struct authenticator *authenticator, const struct ceremony *ceremony,
                                             struct arena *arena)
{
  struct ceremony_answer answer = {.client_data_json = make_client_data(ceremony, arena),
                                   .authenticator_data = make_data(authenticator, ceremony, false, arena)};
  answer.signature = sign(authenticator, answer.authenticator_data, answer.client_data_json, arena);
  return answer;
}

// ---- JSON ----

static const char *encode(struct slice bytes, struct arena *arena)
{
  struct strbuf text;
  strbuf_init(&text, 0);
  base64url_encode(bytes, &text);
  return arena_string(arena, take(&text, arena));
}

static const char *make_json(const struct authenticator *authenticator, const char *response, struct arena *arena)
{
  const char *id = encode(authenticator_credential_id(authenticator), arena);
  return arena_printf(
      arena,
      "{\"id\":\"%s\",\"rawId\":\"%s\",\"type\":\"public-key\",\"authenticatorAttachment\":\"platform\","
      "\"clientExtensionResults\":{},\"response\":{%s}}",
      id, id, response);
}

const char *authenticator_registration_json(const struct authenticator *authenticator,
                                            const struct ceremony_answer *answer, struct arena *arena)
{
  const char *response = arena_printf(
      arena, "\"clientDataJSON\":\"%s\",\"attestationObject\":\"%s\",\"transports\":[\"internal\",\"hybrid\"]",
      encode(answer->client_data_json, arena), encode(answer->attestation_object, arena));
  return make_json(authenticator, response, arena);
}

const char *authenticator_sign_in_json(const struct authenticator *authenticator, const struct ceremony_answer *answer,
                                       const char *user_handle, struct arena *arena)
{
  const char *response = arena_printf(
      arena, "\"clientDataJSON\":\"%s\",\"authenticatorData\":\"%s\",\"signature\":\"%s\",\"userHandle\":\"%s\"",
      encode(answer->client_data_json, arena), encode(answer->authenticator_data, arena),
      encode(answer->signature, arena), user_handle);
  return make_json(authenticator, response, arena);
}
