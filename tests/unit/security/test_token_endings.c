// Tokens of what has ended before they have expired.
#include <criterion/criterion.h>

#include "common/security/token.h"
#include "common/security/token_endings_internal.h"
#include "tests/unit/security/forge.h"

#define ADA "0190163d-8694-739b-aea5-966c26f8ad91"
#define EVE "0190163d-8694-739b-aea5-966c26f8ad99"
#define HERE "0190163d-8694-739b-aea5-966c26f8ad93"
#define THERE "0190163d-8694-739b-aea5-966c26f8ad94"
#define END (FORGE_NOW + 1000)

static struct arena arena;
static struct token_verifier *verifier;

static void setup(void)
{
  struct error error;
  verifier = token_verifier_create(
      &(struct token_verifier_options){.issuer = FORGE_ISSUER, .audience = FORGE_AUDIENCE, .max_cached = 64});
  cr_assert_eq(token_verifier_set_keys(verifier, &FORGE_KEY, 1, &error), STATUS_OK);
}

static void teardown(void)
{
  token_verifier_free(&verifier);
  arena_free(&arena);
}

TestSuite(token_endings, .init = setup, .fini = teardown);

static struct slice token_of(const char *user, const char *session, int64_t generation)
{
  static int number;
  const struct token_claims claims = {.subject = slice_from_string(user),
                                      .id = slice_from_string(arena_printf(&arena, "token-%d", number++)),
                                      .issued_at = FORGE_NOW,
                                      .expires_at = FORGE_NOW + 900,
                                      .session = slice_from_string(session),
                                      .generation = generation};
  const struct token_signing_key key = {.kid = FORGE_KID, .private_pem = FORGE_PRIVATE_PEM};
  struct slice token;
  cr_assert_eq(token_sign(&key, FORGE_ISSUER, FORGE_AUDIENCE, &claims, &arena, &token), STATUS_OK);
  return token;
}

static enum token_result verify(struct slice token, bool *cached)
{
  const struct token_claims *claims = NULL;
  return token_verify(verifier, token, FORGE_NOW, &claims, cached);
}

static void expect(struct slice token, enum token_result wanted)
{
  bool cached;
  cr_expect_eq(verify(token, &cached), wanted);
}

Test(token_endings, tokens_of_a_session_end_with_it)
{
  struct slice here[] = {token_of(ADA, HERE, 1), token_of(ADA, HERE, 1)};
  struct slice there = token_of(ADA, THERE, 1);
  struct slice eve = token_of(EVE, "", 1);
  expect(here[0], TOKEN_VALID);
  expect(there, TOKEN_VALID);
  expect(eve, TOKEN_VALID);
  token_verifier_end_session(verifier, SLICE(ADA), SLICE(HERE), END, FORGE_NOW);
  expect(here[0], TOKEN_ENDED);
  expect(here[1], TOKEN_ENDED);
  bool cached;
  cr_expect_eq(verify(there, &cached), TOKEN_VALID);
  cr_expect(cached, "another session's token leaves the cache");
  cr_expect_eq(verify(eve, &cached), TOKEN_VALID);
  cr_expect(cached, "another user's token leaves the cache");
}

Test(token_endings, earlier_generations_of_a_users_tokens_end)
{
  struct slice old = token_of(ADA, HERE, 2);
  struct slice good = token_of(ADA, HERE, 3);
  struct slice without = token_of(ADA, "", 0);
  struct slice eve = token_of(EVE, THERE, 1);
  expect(old, TOKEN_VALID);
  expect(good, TOKEN_VALID);
  token_verifier_end_user(verifier, SLICE(ADA), 3, END, FORGE_NOW);
  expect(old, TOKEN_ENDED);
  expect(without, TOKEN_ENDED);
  expect(good, TOKEN_VALID);
  expect(eve, TOKEN_VALID);
  token_verifier_end_user(verifier, SLICE(ADA), 2, END, FORGE_NOW);
  expect(old, TOKEN_ENDED);
  token_verifier_end_user(verifier, SLICE(ADA), INT64_C(1) << 53, END, FORGE_NOW);
  expect(good, TOKEN_ENDED);
}

static bool is_hit(const struct token_endings *endings, int64_t session)
{
  const char *id = arena_printf(&arena, "session-%d", (int)session);
  return token_endings_hit(endings, &(struct token_claims){.subject = SLICE(ADA), .session = slice_from_string(id)});
}

static void end(struct token_endings *endings, int session, int64_t until, int64_t now)
{
  token_endings_add(endings, slice_from_string(arena_printf(&arena, "session-%d", session)), 0, until, now);
}

Test(token_endings, are_bounded_and_forgotten_in_time)
{
  struct token_endings endings;
  token_endings_init(&endings, 3);
  for (int i = 0; i < 5; i++)
    end(&endings, i, 100 + i, 0);
  for (int i = 0; i < 5; i++)
    cr_expect_eq(is_hit(&endings, i), i >= 2, "%d", i);
  end(&endings, 3, 200, 0);
  cr_expect_eq(endings.entries.count, 3, "what is known is not added again");
  end(&endings, 9, 300, 104);
  cr_expect_not(is_hit(&endings, 2));
  cr_expect_not(is_hit(&endings, 4));
  cr_expect(is_hit(&endings, 3));
  end(&endings, 10, 104, 104);
  cr_expect_not(is_hit(&endings, 10), "it was over before it came");
  token_endings_free(&endings);
}
