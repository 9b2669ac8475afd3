// Access tokens a second, on one thread: signed, verified in full, found in the cache, refused as forged. The numbers
// are for people; nothing depends on them.
#include <stdio.h>

#include "common/base/arena.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/security/key.h"
#include "common/security/token.h"

#define ISSUER "https://auth.example"
#define AUDIENCE "bulkhead"
#define NOW INT64_C(1700000000)
#define TOKENS 2000
#define CACHED_ROUNDS 500

static struct arena arena;
static struct slice tokens[TOKENS];

static void report(const char *what, size_t count, uint64_t begin_us)
{
  uint64_t spent_us = clock_now_us() - begin_us;
  printf("%-28s %10.0f /s  %8.2f us each\n", what, (double)count * 1e6 / (double)spent_us,
         (double)spent_us / (double)count);
}

static void sign_all(const struct token_signing_key *key)
{
  static const struct slice roles[] = {SLICE_INIT("user")};
  for (size_t i = 0; i < TOKENS; i++) {
    struct token_claims claims = {
        .subject = SLICE("0190163d-8694-739b-aea5-966c26f8ad91"),
        .id = slice_from_string(arena_printf(&arena, "0190163d-8694-739b-aea5-%012zu", i)),
        .roles = roles,
        .role_count = 1,
        .issued_at = NOW,
        .expires_at = NOW + 900,
    };
    CHECK(token_sign(key, ISSUER, AUDIENCE, &claims, &arena, &tokens[i]) == STATUS_OK);
  }
}

static void verify_all(struct token_verifier *verifier, bool expect_cached)
{
  for (size_t i = 0; i < TOKENS; i++) {
    const struct token_claims *claims;
    bool cached;
    CHECK(token_verify(verifier, tokens[i], NOW, &claims, &cached) == TOKEN_VALID && cached == expect_cached);
  }
}

int main(void)
{
  const char *pem;
  struct token_public_key public_key;
  struct error error;
  CHECK(key_generate(&arena, &pem) == STATUS_OK);
  CHECK(key_public_parts(pem, &arena, &public_key.x, &public_key.y, &public_key.kid) == STATUS_OK);
  struct private_key *parsed = NULL;
  CHECK(private_key_parse(pem, &parsed) == STATUS_OK);
  const struct token_signing_key key = {
      .kid = arena_string(&arena, public_key.kid), .private_pem = pem, .parsed = parsed};
  struct token_verifier *verifier =
      token_verifier_create(&(struct token_verifier_options){.issuer = ISSUER, .audience = AUDIENCE});
  CHECK(token_verifier_set_keys(verifier, &public_key, 1, &error) == STATUS_OK);

  uint64_t begin_us = clock_now_us();
  sign_all(&key);
  report("sign", TOKENS, begin_us);
  begin_us = clock_now_us();
  verify_all(verifier, false);
  report("verify, first time", TOKENS, begin_us);
  begin_us = clock_now_us();
  for (size_t round = 0; round < CACHED_ROUNDS; round++)
    verify_all(verifier, true);
  report("verify, remembered", (size_t)TOKENS * CACHED_ROUNDS, begin_us);
  printf("a token has %zu bytes\n", tokens[0].size);
  token_verifier_free(&verifier);
  private_key_free(&parsed);
  arena_free(&arena);
  return 0;
}
