// Valid tokens, the checks of the claims, and time.
#include <criterion/criterion.h>
#include <openssl/err.h>
#include <stdlib.h>

#include "common/security/key.h"
#include "common/security/token.h"
#include "common/security/token_claims_internal.h"
#include "tests/unit/security/forge.h"

static struct arena arena;
static struct token_verifier *verifier;

static void setup(void)
{
  struct error error;
  verifier = token_verifier_create(
      &(struct token_verifier_options){.issuer = FORGE_ISSUER, .audience = FORGE_AUDIENCE, .max_cached = 4});
  cr_assert_eq(token_verifier_set_keys(verifier, &FORGE_KEY, 1, &error), STATUS_OK);
}

static void teardown(void)
{
  token_verifier_free(&verifier);
  cr_assert_null(verifier);
  token_verifier_free(&verifier);
  arena_free(&arena);
}

TestSuite(token, .init = setup, .fini = teardown);

static enum token_result verify_at(struct slice token, int64_t now)
{
  const struct token_claims *claims = NULL;
  enum token_result result = token_verify(verifier, token, now, &claims, NULL);
  cr_assert((result == TOKEN_VALID) == (claims != NULL));
  return result;
}

// Verifies a correctly signed token with one claim changed.
static enum token_result verify_with(const char *name, const char *value)
{
  return verify_at(forge_token(SLICE(FORGE_HEADER), forge_claims(name, value, &arena), &arena), FORGE_NOW);
}

static struct slice signed_token(const struct token_claims *claims)
{
  struct token_signing_key key = {.kid = FORGE_KID, .private_pem = FORGE_PRIVATE_PEM};
  struct slice token;
  cr_assert_eq(token_sign(&key, FORGE_ISSUER, FORGE_AUDIENCE, claims, &arena, &token), STATUS_OK);
  return token;
}

static const struct slice two_roles[] = {SLICE_INIT("user"), SLICE_INIT("admin")};
static const struct token_claims good_claims = {
    .subject = SLICE_INIT("0190163d-8694-739b-aea5-966c26f8ad91"),
    .roles = two_roles,
    .role_count = 2,
    .id = SLICE_INIT("0190163d-8694-739b-aea5-966c26f8ad92"),
    .issued_at = FORGE_NOW,
    .expires_at = FORGE_NOW + 900,
    .session = SLICE_INIT("0190163d-8694-739b-aea5-966c26f8ad93"),
    .auth_time = FORGE_NOW - 60,
    .generation = 3,
};

Test(token, claims_come_back_from_the_signature_and_from_the_cache)
{
  struct slice token = signed_token(&good_claims);
  for (int round = 0; round < 2; round++) {
    const struct token_claims *claims;
    bool cached;
    cr_assert_eq(token_verify(verifier, token, FORGE_NOW, &claims, &cached), TOKEN_VALID);
    cr_assert_eq(cached, round == 1);
    cr_assert(slice_equal(claims->subject, good_claims.subject));
    cr_assert(slice_equal(claims->id, good_claims.id));
    cr_assert_eq(claims->role_count, 2);
    cr_assert(slice_equal_string(claims->roles[0], "user"));
    cr_assert(slice_equal_string(claims->roles[1], "admin"));
    cr_assert_eq(claims->issued_at, FORGE_NOW);
    cr_assert_eq(claims->expires_at, FORGE_NOW + 900);
    cr_assert(slice_equal(claims->session, good_claims.session));
    cr_assert_eq(claims->auth_time, FORGE_NOW - 60);
    cr_assert_eq(claims->generation, 3);
  }
}

Test(token, without_roles_is_valid)
{
  struct token_claims claims = good_claims;
  claims.roles = NULL;
  claims.role_count = 0;
  cr_assert_eq(verify_at(signed_token(&claims), FORGE_NOW), TOKEN_VALID);
  cr_assert_eq(verify_with("roles", NULL), TOKEN_VALID);
}

Test(token, of_an_older_release_says_nothing_of_its_session)
{
  struct token_claims claims = good_claims;
  const struct token_claims *verified;
  claims.session = SLICE("");
  claims.auth_time = 0;
  claims.generation = 0;
  cr_assert_eq(token_verify(verifier, signed_token(&claims), FORGE_NOW, &verified, NULL), TOKEN_VALID);
  cr_expect_eq(verified->session.size, 0);
  cr_expect_eq(verified->auth_time, 0);
  cr_expect_eq(verified->generation, 0);
}

// The token of RFC 7515 appendix A.3 is correctly signed, but has no key id and other claims.
Test(token, the_example_of_rfc_7515_is_no_access_token)
{
  cr_assert_eq(
      verify_at(SLICE("eyJhbGciOiJFUzI1NiJ9."
                      "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt"
                      "cGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
                      "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"),
                FORGE_NOW),
      TOKEN_MALFORMED);
}

Test(token, expiry_with_its_leeway_to_the_second)
{
  struct slice token = signed_token(&good_claims);
  int64_t end = good_claims.expires_at + TOKEN_LEEWAY_S;
  // The token is verified in full, then found in the cache, then dropped from it.
  cr_assert_eq(verify_at(token, end), TOKEN_EXPIRED);
  cr_assert_eq(verify_at(token, end - 1), TOKEN_VALID);
  cr_assert_eq(verify_at(token, end - 1), TOKEN_VALID);
  bool cached;
  const struct token_claims *claims;
  cr_assert_eq(token_verify(verifier, token, end, &claims, &cached), TOKEN_EXPIRED);
  cr_assert(cached);
  cr_assert_eq(token_verify(verifier, token, end, &claims, &cached), TOKEN_EXPIRED);
  cr_assert_not(cached);
}

// A call that the gateway has taken in the last second of a token must not fail on its way.
Test(token, a_service_takes_a_token_longer_than_the_gateway)
{
  struct error error;
  struct slice token = signed_token(&good_claims);
  struct token_verifier *service = token_verifier_create(
      &(struct token_verifier_options){.issuer = FORGE_ISSUER, .audience = FORGE_AUDIENCE, .extra_leeway_s = 60});
  cr_assert_eq(token_verifier_set_keys(service, &FORGE_KEY, 1, &error), STATUS_OK);
  const struct token_claims *claims;
  int64_t end = good_claims.expires_at + TOKEN_LEEWAY_S;
  // In full, from the cache, and no longer than told.
  cr_expect_eq(token_verify(service, token, end, &claims, NULL), TOKEN_VALID);
  cr_expect_eq(token_verify(service, token, end + 59, &claims, NULL), TOKEN_VALID);
  cr_expect_eq(token_verify(service, token, end + 60, &claims, NULL), TOKEN_EXPIRED);
  cr_expect_eq(token_verify(service, token, good_claims.issued_at - TOKEN_LEEWAY_S - 1, &claims, NULL),
               TOKEN_NOT_YET_VALID);
  token_verifier_free(&service);
}

Test(token, begin_with_its_leeway_to_the_second)
{
  struct slice token = signed_token(&good_claims);
  cr_assert_eq(verify_at(token, FORGE_NOW - TOKEN_LEEWAY_S - 1), TOKEN_NOT_YET_VALID);
  cr_assert_eq(verify_at(token, FORGE_NOW - TOKEN_LEEWAY_S), TOKEN_VALID);
  // The token is cached now; a clock that was set back still counts.
  cr_assert_eq(verify_at(token, FORGE_NOW - TOKEN_LEEWAY_S - 1), TOKEN_NOT_YET_VALID);
  cr_assert_eq(verify_with("nbf", "1700000030"), TOKEN_VALID);
  cr_assert_eq(verify_with("nbf", "1700000031"), TOKEN_NOT_YET_VALID);
  cr_assert_eq(verify_with("iat", "1700000031"), TOKEN_NOT_YET_VALID);
}

struct claim_case {
  const char *name, *value;
  enum token_result result;
};

static const struct claim_case claim_cases[] = {
    {NULL, NULL, TOKEN_VALID},
    {"iss", "\"https://evil.example\"", TOKEN_WRONG_AUDIENCE},
    {"iss", "\"https://auth.exampl\"", TOKEN_WRONG_AUDIENCE},
    {"iss", "\"\"", TOKEN_WRONG_AUDIENCE},
    {"iss", NULL, TOKEN_WRONG_AUDIENCE},
    {"iss", "1", TOKEN_MALFORMED},
    {"iss", "[\"" FORGE_ISSUER "\"]", TOKEN_MALFORMED},
    {"aud", "\"another\"", TOKEN_WRONG_AUDIENCE},
    {"aud", "\"BULKHEAD\"", TOKEN_WRONG_AUDIENCE},
    {"aud", "[]", TOKEN_WRONG_AUDIENCE},
    {"aud", "[\"another\"]", TOKEN_WRONG_AUDIENCE},
    {"aud", "[\"another\",\"" FORGE_AUDIENCE "\"]", TOKEN_VALID},
    {"aud", "[\"" FORGE_AUDIENCE "\",\"another\"]", TOKEN_VALID},
    {"aud", "[\"" FORGE_AUDIENCE "\",1]", TOKEN_MALFORMED},
    {"aud", NULL, TOKEN_WRONG_AUDIENCE},
    {"aud", "null", TOKEN_MALFORMED},
    {"aud", "\"bulkhead\\u0000\"", TOKEN_WRONG_AUDIENCE},
    {"exp", NULL, TOKEN_MALFORMED},
    {"exp", "null", TOKEN_MALFORMED},
    {"exp", "\"1700000900\"", TOKEN_MALFORMED},
    {"exp", "1700000900.5", TOKEN_MALFORMED},
    {"exp", "17e8", TOKEN_MALFORMED},
    {"exp", "-1", TOKEN_MALFORMED},
    {"exp", "9007199254740992", TOKEN_VALID},
    {"exp", "9007199254740993", TOKEN_MALFORMED},
    {"exp", "9223372036854775807", TOKEN_MALFORMED},
    {"exp", "99999999999999999999999999", TOKEN_MALFORMED},
    {"exp", "0", TOKEN_EXPIRED},
    {"nbf", NULL, TOKEN_MALFORMED},
    {"nbf", "true", TOKEN_MALFORMED},
    {"iat", NULL, TOKEN_MALFORMED},
    {"iat", "[]", TOKEN_MALFORMED},
    {"sub", NULL, TOKEN_MALFORMED},
    {"sub", "\"\"", TOKEN_MALFORMED},
    {"sub", "7", TOKEN_MALFORMED},
    {"sub", "\"!~\"", TOKEN_VALID},
    {"sub", "\"a\\nb\"", TOKEN_MALFORMED},
    {"sub", "\"a\\u0000\"", TOKEN_MALFORMED},
    {"sub", "\"caf\\u00e9\"", TOKEN_MALFORMED},
    {"jti", NULL, TOKEN_MALFORMED},
    {"jti", "\"\"", TOKEN_MALFORMED},
    {"roles", "\"admin\"", TOKEN_MALFORMED},
    {"roles", "[1]", TOKEN_MALFORMED},
    {"roles", "[\"\"]", TOKEN_MALFORMED},
    {"roles", "[[\"admin\"]]", TOKEN_MALFORMED},
    {"roles", "[\"a b\"]", TOKEN_MALFORMED},
    {"roles", "null", TOKEN_MALFORMED},
    {"sid", "\"!~\"", TOKEN_VALID},
    {"sid", "\"\"", TOKEN_MALFORMED},
    {"sid", "\"a b\"", TOKEN_MALFORMED},
    {"sid", "7", TOKEN_MALFORMED},
    {"sid", "null", TOKEN_MALFORMED},
    {"auth_time", "1699999990", TOKEN_VALID},
    {"auth_time", "-1", TOKEN_MALFORMED},
    {"auth_time", "\"1699999990\"", TOKEN_MALFORMED},
    {"auth_time", "9007199254740993", TOKEN_MALFORMED},
    {"gen", "0", TOKEN_VALID},
    {"gen", "-1", TOKEN_MALFORMED},
    {"gen", "1.5", TOKEN_MALFORMED},
    {"gen", "true", TOKEN_MALFORMED},
    {"extra", "{\"a\":[1,2,{\"b\":null}]}", TOKEN_VALID},
    {"extra", "[[[[[[[[[1]]]]]]]]]", TOKEN_MALFORMED},
    {"extra", "1,\"sub\":\"root\"", TOKEN_MALFORMED},
    {"extra", "1,\"extra\":2", TOKEN_MALFORMED},
    {"extra", "1,\"s\\u0075b\":\"root\"", TOKEN_MALFORMED},
    {"extra", "1}{\"a\":1", TOKEN_MALFORMED},
};

Test(token, each_claim_is_checked)
{
  for (size_t i = 0; i < ARRAY_LEN(claim_cases); i++) {
    const struct claim_case *c = &claim_cases[i];
    enum token_result result = verify_with(c->name, c->value);
    cr_assert_eq(result, c->result, "%s: %s gives \"%s\"", c->name, c->value, token_result_text(result));
  }
}

Test(token, roles_and_subject_at_their_bounds)
{
  char *many = arena_printf(&arena, "[\"r\"");
  for (int i = 1; i < TOKEN_MAX_ROLES; i++)
    many = arena_printf(&arena, "%s,\"r\"", many);
  cr_assert_eq(verify_with("roles", arena_printf(&arena, "%s]", many)), TOKEN_VALID);
  cr_assert_eq(verify_with("roles", arena_printf(&arena, "%s,\"r\"]", many)), TOKEN_MALFORMED);
  cr_assert_eq(verify_with("roles", arena_printf(&arena, "[\"%064d\"]", 7)), TOKEN_VALID);
  cr_assert_eq(verify_with("roles", arena_printf(&arena, "[\"%065d\"]", 7)), TOKEN_MALFORMED);
  cr_assert_eq(verify_with("sub", arena_printf(&arena, "\"%0128d\"", 7)), TOKEN_VALID);
  cr_assert_eq(verify_with("sub", arena_printf(&arena, "\"%0129d\"", 7)), TOKEN_MALFORMED);
  char *extra = "0";
  for (int i = 1; i < 24; i++)
    extra = arena_printf(&arena, "%s,\"e%d\":0", extra, i);
  cr_assert_eq(verify_with("extra", extra), TOKEN_VALID);
  cr_assert_eq(verify_with("extra", arena_printf(&arena, "%s,\"e24\":0", extra)), TOKEN_MALFORMED);
}

Test(token, what_verification_would_refuse_is_not_signed)
{
  static const struct slice empty_role[] = {SLICE_INIT("")};
  static const struct slice odd_role[] = {SLICE_INIT("a\"b c")};
  static struct slice many[TOKEN_MAX_ROLES + 1];
  for (size_t i = 0; i < ARRAY_LEN(many); i++)
    many[i] = SLICE("r");
  struct token_claims bad[14];
  for (size_t i = 0; i < ARRAY_LEN(bad); i++)
    bad[i] = good_claims;
  bad[0].subject = SLICE("");
  bad[1].id = SLICE("");
  bad[2].subject = SLICE("a\nb");
  bad[3].expires_at = bad[3].issued_at;
  bad[4].issued_at = -1;
  bad[5].roles = empty_role, bad[5].role_count = 1;
  bad[6].roles = odd_role, bad[6].role_count = 1;
  bad[7].roles = many, bad[7].role_count = ARRAY_LEN(many);
  bad[8].expires_at = TOKEN_MAX_TIME + 1;
  bad[9].session = SLICE("a b");
  bad[10].auth_time = -1;
  bad[11].auth_time = TOKEN_MAX_TIME + 1;
  bad[12].generation = -1;
  bad[13].generation = TOKEN_MAX_TIME + 1;
  struct token_signing_key key = {.kid = FORGE_KID, .private_pem = FORGE_PRIVATE_PEM};
  struct slice token;
  for (size_t i = 0; i < ARRAY_LEN(bad); i++)
    cr_assert_eq(token_sign(&key, FORGE_ISSUER, FORGE_AUDIENCE, &bad[i], &arena, &token), STATUS_INVALID_ARGUMENT,
                 "case %zu", i);
}

Test(token, a_key_id_issuer_or_key_that_no_verifier_would_take_signs_nothing)
{
  struct slice token;
  struct token_signing_key key = {.kid = "with space", .private_pem = FORGE_PRIVATE_PEM};
  cr_expect_eq(token_sign(&key, FORGE_ISSUER, FORGE_AUDIENCE, &good_claims, &arena, &token), STATUS_INVALID_ARGUMENT);
  key.kid = arena_printf(&arena, "%0129d", 7);
  cr_expect_eq(token_sign(&key, FORGE_ISSUER, FORGE_AUDIENCE, &good_claims, &arena, &token), STATUS_INVALID_ARGUMENT);
  key.kid = FORGE_KID;
  const char *wide = arena_printf(&arena, "https://%04096d.example", 7);
  cr_expect_eq(token_sign(&key, wide, FORGE_AUDIENCE, &good_claims, &arena, &token), STATUS_INVALID_ARGUMENT,
               "the token would be longer than a verifier accepts");
  key.private_pem = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
  cr_expect_eq(token_sign(&key, FORGE_ISSUER, FORGE_AUDIENCE, &good_claims, &arena, &token), STATUS_INVALID_ARGUMENT);
  cr_expect_eq(ERR_peek_error(), 0, "an error is left over for the thread's next TLS operation");
}

Test(token, the_longest_claims_still_make_a_token_that_is_taken)
{
  static struct slice roles[TOKEN_MAX_ROLES];
  const char *wide = arena_printf(&arena, "%064d", 1);
  for (size_t i = 0; i < ARRAY_LEN(roles); i++)
    roles[i] = slice_from_string(wide);
  struct token_claims claims = good_claims;
  claims.roles = roles;
  claims.role_count = ARRAY_LEN(roles);
  claims.subject = claims.id = claims.session = slice_from_string(arena_printf(&arena, "%0128d", 1));
  cr_assert_eq(verify_at(signed_token(&claims), FORGE_NOW), TOKEN_VALID);
}

Test(token, only_a_p256_private_key_signs)
{
  static const char *const bad[] = {
      "",
      "no pem",
      "-----BEGIN PRIVATE KEY-----\nMIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDDobOqkuonPlbyP4qjZ\n"
      "JUnKtM1gpWYEMiXA5O6i7d53ezXhG4syENFoQnwuQp8yWsihZANiAAQJGtHLreX8\n"
      "wIzig63aqK9C03pryvKwbKc2OEc26r8qqbS2tP4nWyL63STr7KaB0FL3ovwqyzab\n"
      "2Na0+1van6GAUBjtSe39kX8F7PI7ySNXL1ej4clTYw3zuoUGZqy1YXw=\n-----END PRIVATE KEY-----\n",
      "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
  };
  for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
    struct token_signing_key key = {.kid = FORGE_KID, .private_pem = bad[i]};
    struct slice token;
    cr_assert_eq(token_sign(&key, FORGE_ISSUER, FORGE_AUDIENCE, &good_claims, &arena, &token), STATUS_INVALID_ARGUMENT,
                 "case %zu", i);
  }
}

Test(token, every_result_has_its_text)
{
  for (int result = TOKEN_VALID; result <= TOKEN_WRONG_AUDIENCE; result++)
    cr_assert(strlen(token_result_text((enum token_result)result)) > 10);
}
