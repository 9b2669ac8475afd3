// Key sets: what is taken, what is passed over, what is refused, and what rotation does to remembered tokens.
#include <criterion/criterion.h>

#include "common/security/token.h"
#include "common/security/token_keys_internal.h"
#include "tests/unit/security/forge.h"

// The key of RFC 7517 appendix A.1.
#define OTHER_X "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4"
#define OTHER_Y "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"
#define OTHER_JWK(kid, more)                                                                                           \
  "{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"" kid "\",\"x\":\"" OTHER_X "\",\"y\":\"" OTHER_Y "\"" more "}"

#define ENCRYPTION_JWK OTHER_JWK("e", ",\"use\":\"enc\"")
#define AGREEMENT_JWK OTHER_JWK("h", ",\"alg\":\"ECDH-ES\"")
#define SIGNATURE_JWK OTHER_JWK("s", ",\"use\":\"sig\",\"alg\":\"ES256\"")

static struct arena arena;
static struct token_verifier *verifier;
static struct slice token;

static void setup(void)
{
  verifier =
      token_verifier_create(&(struct token_verifier_options){.issuer = FORGE_ISSUER, .audience = FORGE_AUDIENCE});
  token = forge_token(SLICE(FORGE_HEADER), forge_claims(NULL, NULL, &arena), &arena);
}

static void teardown(void)
{
  token_verifier_free(&verifier);
  arena_free(&arena);
}

TestSuite(token_keys, .init = setup, .fini = teardown);

static enum status set(const char *jwks)
{
  struct error error = {0};
  enum status status = token_verifier_set_keys(verifier, slice_from_string(jwks), &error);
  cr_assert_eq(error.status, status);
  cr_assert_eq(error.message[0] == '\0', status == STATUS_OK, "%s", error.message);
  return status;
}

static enum token_result verify(bool *cached)
{
  const struct token_claims *claims;
  return token_verify(verifier, token, FORGE_NOW, &claims, cached);
}

Test(token_keys, without_keys_every_key_is_unknown)
{
  cr_assert_eq(token_verifier_key_count(verifier), 0);
  cr_assert_eq(verify(NULL), TOKEN_UNKNOWN_KEY);
}

Test(token_keys, other_kinds_are_passed_over)
{
  static const char jwks[] = "{\"keys\":[" FORGE_JWK ",{\"kty\":\"RSA\",\"kid\":\"r\",\"n\":\"AQAB\",\"e\":\"AQAB\"},"
                             "{\"kty\":\"oct\",\"kid\":\"test-1\",\"k\":\"AAAA\"},"
                             "{\"kty\":\"EC\",\"crv\":\"P-384\",\"kid\":\"p\",\"x\":\"AA\",\"y\":\"AA\"},"
                             "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"o\",\"x\":\"AA\"},"
                             "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" OTHER_X "\",\"y\":\"" OTHER_Y
                             "\"}," ENCRYPTION_JWK "," AGREEMENT_JWK "," SIGNATURE_JWK "],\"other\":[{}]}";
  cr_assert_eq(set(jwks), STATUS_OK);
  cr_assert_eq(token_verifier_key_count(verifier), 2);
  cr_assert_eq(verify(NULL), TOKEN_VALID);
}

static const char *const bad_sets[] = {
    "",
    "null",
    "[]",
    "{}",
    "{\"keys\":null}",
    "{\"keys\":{}}",
    "{\"keys\":[]}",
    "{\"keys\":[1]}",
    "{\"keys\":[[" FORGE_JWK "]]}",
    "{\"keys\":[" FORGE_JWK,
    "{\"keys\":[" FORGE_JWK "]}x",
    "{\"keys\":[" FORGE_JWK "],\"keys\":[]}",
    "{\"keys\":[" FORGE_JWK "," FORGE_JWK "]}",
    "{\"keys\":[" FORGE_JWK "," OTHER_JWK("test-1", "") "]}",
    "{\"keys\":[" OTHER_JWK("a", ",\"kid\":\"b\"") "]}",
    "{\"keys\":[" OTHER_JWK("with space", "") "]}",
    "{\"keys\":[" OTHER_JWK("a", ",\"use\":1") "]}",
    "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"a\",\"x\":\"" OTHER_X "\"}]}",
    "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"a\",\"x\":\"" OTHER_Y "\",\"y\":\"" OTHER_X "\"}]}",
    "{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"r\"}]}",
};

Test(token_keys, a_bad_set_is_refused_and_the_old_keys_stay)
{
  cr_assert_eq(set("{\"keys\":[" FORGE_JWK "]}"), STATUS_OK);
  for (size_t i = 0; i < ARRAY_LEN(bad_sets); i++) {
    cr_assert_neq(set(bad_sets[i]), STATUS_OK, "%s", bad_sets[i]);
    cr_assert_eq(token_verifier_key_count(verifier), 1);
  }
  cr_assert_eq(verify(NULL), TOKEN_VALID);
}

static const char *numbered_set(size_t count)
{
  char *json = arena_printf(&arena, "{\"keys\":[");
  for (size_t i = 0; i < count; i++)
    json = arena_printf(&arena, "%s%s{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"k%zu\",\"x\":\"%s\",\"y\":\"%s\"}",
                        json, i == 0 ? "" : ",", i, OTHER_X, OTHER_Y);
  return arena_printf(&arena, "%s]}", json);
}

Test(token_keys, number_and_size_are_bounded)
{
  cr_assert_eq(set(numbered_set(TOKEN_MAX_KEYS)), STATUS_OK);
  cr_assert_eq(token_verifier_key_count(verifier), TOKEN_MAX_KEYS);
  cr_assert_eq(set(numbered_set(TOKEN_MAX_KEYS + 1)), STATUS_INVALID_ARGUMENT);
  cr_assert_eq(set(arena_printf(&arena, "{\"keys\":[" FORGE_JWK "]}%*s", TOKEN_MAX_JWKS_BYTES, "")),
               STATUS_INVALID_ARGUMENT);
  static struct token_public_key many[TOKEN_MAX_KEYS + 1];
  struct error error;
  cr_assert_eq(token_verifier_set_public_keys(verifier, many, ARRAY_LEN(many), &error), STATUS_INVALID_ARGUMENT);
  cr_assert_eq(token_verifier_set_public_keys(verifier, many, 1, &error), STATUS_INVALID_ARGUMENT);
}

Test(token_keys, tokens_of_a_key_that_stays_are_still_remembered)
{
  bool cached;
  cr_assert_eq(set("{\"keys\":[" FORGE_JWK "]}"), STATUS_OK);
  cr_assert_eq(verify(&cached), TOKEN_VALID);
  cr_assert_not(cached);
  cr_assert_eq(set("{\"keys\":[" OTHER_JWK("new", "") "," FORGE_JWK "]}"), STATUS_OK);
  cr_assert_eq(verify(&cached), TOKEN_VALID);
  cr_assert(cached);
}

Test(token_keys, tokens_of_a_key_that_goes_are_forgotten)
{
  bool cached;
  cr_assert_eq(set("{\"keys\":[" OTHER_JWK("new", "") "," FORGE_JWK "]}"), STATUS_OK);
  cr_assert_eq(verify(&cached), TOKEN_VALID);
  cr_assert_eq(set("{\"keys\":[" OTHER_JWK("new", "") "]}"), STATUS_OK);
  cr_assert_eq(verify(&cached), TOKEN_UNKNOWN_KEY);
  cr_assert_not(cached);
  cr_assert_eq(set("{\"keys\":[" FORGE_JWK "]}"), STATUS_OK);
  cr_assert_eq(verify(&cached), TOKEN_VALID);
  cr_assert_not(cached);
}

Test(token_keys, another_key_under_the_same_id_is_another_key)
{
  bool cached;
  cr_assert_eq(set("{\"keys\":[" FORGE_JWK "]}"), STATUS_OK);
  cr_assert_eq(verify(&cached), TOKEN_VALID);
  cr_assert_eq(set("{\"keys\":[" OTHER_JWK("test-1", "") "]}"), STATUS_OK);
  cr_assert_eq(verify(&cached), TOKEN_FORGED);
  cr_assert_not(cached);
}

Test(token_keys, keys_by_coordinates)
{
  struct error error;
  struct token_public_key keys[] = {
      {.kid = SLICE("other"), .x = SLICE(OTHER_X), .y = SLICE(OTHER_Y)},
      {.kid = SLICE(FORGE_KID), .x = SLICE(FORGE_X), .y = SLICE(FORGE_Y)},
  };
  cr_assert_eq(token_verifier_set_public_keys(verifier, keys, ARRAY_LEN(keys), &error), STATUS_OK);
  cr_assert_eq(token_verifier_key_count(verifier), 2);
  cr_assert_eq(verify(NULL), TOKEN_VALID);
  cr_assert_eq(token_verifier_set_public_keys(verifier, keys, 0, &error), STATUS_FAILED_PRECONDITION);
  cr_assert_eq(token_verifier_key_count(verifier), 2);
}
