// Key sets: which are accepted, which are refused, and what a rotation does to cached tokens.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/security/token.h"
#include "common/security/token_keys_internal.h"
#include "tests/unit/security/forge.h"

// The key of RFC 7517 appendix A.1.
#define OTHER_X "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4"
#define OTHER_Y "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"
// The other point of the curve with FORGE_X: the negative of FORGE_KEY.
#define NEGATIVE_Y "OA67MeRCZIJ40yASRhFGC0yWopJW9NtSdbnc13p3GlI"

#define KEY(id, key_x, key_y)                                                                                          \
  {                                                                                                                    \
    .kid = SLICE_INIT(id), .x = SLICE_INIT(key_x), .y = SLICE_INIT(key_y)                                              \
  }

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

static enum status set_keys(const struct token_public_key *keys, size_t count)
{
  struct error error = {0};
  enum status status = token_verifier_set_keys(verifier, keys, count, &error);
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

Test(token_keys, the_key_is_chosen_by_its_id)
{
  static const struct token_public_key keys[] = {KEY("other", OTHER_X, OTHER_Y), KEY(FORGE_KID, FORGE_X, FORGE_Y)};
  cr_assert_eq(set_keys(keys, ARRAY_LEN(keys)), STATUS_OK);
  cr_assert_eq(token_verifier_key_count(verifier), 2);
  cr_assert_eq(verify(NULL), TOKEN_VALID);
}

static const struct token_public_key BAD_SETS[][2] = {
    {KEY(FORGE_KID, FORGE_X, FORGE_Y), KEY(FORGE_KID, FORGE_X, FORGE_Y)},  // a key id twice
    {KEY(FORGE_KID, FORGE_X, FORGE_Y), KEY(FORGE_KID, OTHER_X, OTHER_Y)},
    {KEY("a", OTHER_X, OTHER_Y), KEY("", FORGE_X, FORGE_Y)},
    {KEY("a", OTHER_X, OTHER_Y), KEY("with space", FORGE_X, FORGE_Y)},
    {KEY("a", OTHER_X, OTHER_Y), KEY("b", FORGE_X, OTHER_Y)},  // not on the curve
    {KEY("a", OTHER_X, OTHER_Y), KEY("b", FORGE_X, "")},
    {KEY("a", OTHER_X, OTHER_Y), KEY("b", "", "")},
};

Test(token_keys, a_bad_set_is_refused_and_the_old_keys_stay)
{
  bool cached;
  cr_assert_eq(set_keys(&FORGE_KEY, 1), STATUS_OK);
  cr_assert_eq(verify(&cached), TOKEN_VALID);
  for (size_t i = 0; i < ARRAY_LEN(BAD_SETS); i++) {
    cr_assert_eq(set_keys(BAD_SETS[i], 2), STATUS_INVALID_ARGUMENT, "%zu", i);
    cr_assert_eq(token_verifier_key_count(verifier), 1);
  }
  cr_assert_eq(set_keys(NULL, 0), STATUS_FAILED_PRECONDITION);
  cr_assert_eq(verify(&cached), TOKEN_VALID);
  cr_assert(cached);
}

Test(token_keys, their_number_is_bounded)
{
  static struct token_public_key many[TOKEN_MAX_KEYS + 1];
  for (size_t i = 0; i < ARRAY_LEN(many); i++)
    many[i] = (struct token_public_key){
        .kid = slice_from_string(arena_printf(&arena, "k%zu", i)), .x = SLICE(OTHER_X), .y = SLICE(OTHER_Y)};
  cr_assert_eq(set_keys(many, TOKEN_MAX_KEYS), STATUS_OK);
  cr_assert_eq(token_verifier_key_count(verifier), TOKEN_MAX_KEYS);
  cr_assert_eq(set_keys(many, ARRAY_LEN(many)), STATUS_INVALID_ARGUMENT);
}

static void verify_twice(bool second_is_cached)
{
  bool cached;
  cr_assert_eq(verify(&cached), TOKEN_VALID);
  cr_assert_not(cached);
  cr_assert_eq(verify(&cached), TOKEN_VALID);
  cr_assert_eq(cached, second_is_cached);
}

Test(token_keys, tokens_of_a_key_that_stays_are_still_cached)
{
  static const struct token_public_key both[] = {KEY("new", OTHER_X, OTHER_Y), KEY(FORGE_KID, FORGE_X, FORGE_Y)};
  bool cached;
  cr_assert_eq(set_keys(&FORGE_KEY, 1), STATUS_OK);
  verify_twice(true);
  cr_assert_eq(set_keys(both, 2), STATUS_OK);
  cr_assert_eq(verify(&cached), TOKEN_VALID);
  cr_assert(cached);
}

Test(token_keys, tokens_of_a_key_that_goes_are_forgotten)
{
  static const struct token_public_key both[] = {KEY("new", OTHER_X, OTHER_Y), KEY(FORGE_KID, FORGE_X, FORGE_Y)};
  bool cached;
  cr_assert_eq(set_keys(both, 2), STATUS_OK);
  verify_twice(true);
  cr_assert_eq(set_keys(both, 1), STATUS_OK);
  cr_assert_eq(verify(&cached), TOKEN_UNKNOWN_KEY);
  cr_assert_not(cached);
  cr_assert_eq(set_keys(&FORGE_KEY, 1), STATUS_OK);
  verify_twice(true);
}

Test(token_keys, another_key_under_the_same_id_is_another_key)
{
  static const struct token_public_key others[] = {KEY(FORGE_KID, OTHER_X, OTHER_Y),
                                                   KEY(FORGE_KID, FORGE_X, NEGATIVE_Y)};
  for (size_t i = 0; i < ARRAY_LEN(others); i++) {
    bool cached;
    cr_assert_eq(set_keys(&FORGE_KEY, 1), STATUS_OK);
    verify_twice(true);
    cr_assert_eq(set_keys(&others[i], 1), STATUS_OK);
    cr_assert_eq(verify(&cached), TOKEN_FORGED, "%zu", i);
    cr_assert_not(cached);
  }
}

static enum status read_keys(const char *keys)
{
  struct error error = {0};
  enum status status = token_verifier_read_keys(verifier, keys, &error);
  cr_assert_eq(error.message[0] == '\0', status == STATUS_OK, "%s", error.message);
  return status;
}

#define JWK(kid, x, y)                                                                                                 \
  "{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"" kid "\",\"use\":\"sig\",\"x\":\"" x "\",\"y\":\"" y "\"}"

Test(token_keys, a_jwk_set_is_read_as_json_or_from_a_file)
{
  static const char set[] =
      " {\"keys\": [\n" JWK(FORGE_KID, FORGE_X, FORGE_Y) ",\n" JWK("other", OTHER_X, OTHER_Y) "]}\n";
  cr_expect_eq(read_keys(set), STATUS_OK);
  cr_expect_eq(token_verifier_key_count(verifier), 2);
  cr_expect_eq(verify(NULL), TOKEN_VALID);
  char path[] = "/tmp/bulkhead-keys-XXXXXX";
  int fd = mkstemp(path);
  cr_assert_eq(write(fd, set, sizeof(set) - 1), (ssize_t)sizeof(set) - 1);
  close(fd);
  cr_expect_eq(read_keys(path), STATUS_OK);
  cr_expect_eq(verify(NULL), TOKEN_VALID);
  unlink(path);
  cr_expect_eq(read_keys(path), STATUS_INVALID_ARGUMENT);
  cr_expect_eq(verify(NULL), TOKEN_VALID, "the keys in use stay");
}

Test(token_keys, keys_of_other_kinds_are_passed_over_and_what_is_no_set_is_refused)
{
  static const char rsa[] = "{\"kty\":\"RSA\",\"n\":\"AQ\",\"e\":\"AQAB\",\"kid\":\"rsa\"}";
  char text[1024];
  snprintf(text, sizeof(text), "{\"keys\":[%s,%s]}", rsa, JWK(FORGE_KID, FORGE_X, FORGE_Y));
  cr_expect_eq(read_keys(text), STATUS_OK);
  cr_expect_eq(token_verifier_key_count(verifier), 1);
  static const char *const wrong[] = {
      "{}",
      "{\"keys\":[]}",
      "{\"keys\":{}}",
      "{\"keys\":[1]}",
      "{\"keys\":[" JWK(FORGE_KID, FORGE_X, FORGE_Y) "}",
      "{\"keys\":[" JWK(FORGE_KID, FORGE_X, FORGE_Y) " " JWK("other", OTHER_X, OTHER_Y) "]}",
      "{\"keys\":[" JWK(FORGE_KID, FORGE_X, FORGE_Y) "," JWK(FORGE_KID, FORGE_X, FORGE_Y) "]}",
      "{\"keys\":[" JWK(FORGE_KID, FORGE_X, FORGE_X) "]}",
      "{\"keys\":[{\"kty\":\"EC\",\"kty\":\"RSA\"}]}",
      "{\"keys\":[" JWK(FORGE_KID, FORGE_X, FORGE_Y) "]} x",
  };
  for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
    cr_expect_neq(read_keys(wrong[i]), STATUS_OK, "%s", wrong[i]);
  cr_expect_eq(verify(NULL), TOKEN_VALID, "the keys in use stay");
}
