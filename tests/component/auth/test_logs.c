// What is secret is in no line of a log, whatever the level and whatever goes wrong.
#include <criterion/criterion.h>
#include <string.h>

#include "tests/support/service/accounts.h"

#define ADA "ada@example.com"

// Signs up, logs in and refreshes in all the ways that fail and that do not; the secrets that took part in it.
static size_t use_secrets(struct accounts *accounts, const char **secrets)
{
  accounts_new_user(accounts, ADA);
  const Auth__V1__TokenResponse *tokens = accounts_tokens(accounts, ADA);
  cr_expect_eq(accounts_login(accounts, ADA, "wrong-password").status, STATUS_UNAUTHENTICATED);
  cr_expect_eq(accounts_sign_up(accounts, ADA, "second-password").status, STATUS_ALREADY_EXISTS);
  cr_expect_eq(accounts_sign_up(accounts, "bob@example.com", "pw-shrt").status, STATUS_INVALID_ARGUMENT);
  cr_expect_eq(accounts_sign_up(accounts, "bob@example.com", "dragonmasterdragon").status, STATUS_INVALID_ARGUMENT);
  cr_expect_eq(accounts_refresh(accounts, "unknown-refresh-token").status, STATUS_UNAUTHENTICATED);
  struct outcome refreshed = accounts_refresh(accounts, tokens->refresh_token);
  const char *second_token = accounts_tokens_of(&refreshed)->refresh_token;
  const char *hash = database_sql(&accounts->database, "SELECT password_hash FROM auth.credentials");
  // A missing table makes the service log more, which must not hold secrets either.
  database_sql(&accounts->database, "ALTER TABLE auth.sessions RENAME TO elsewhere");
  cr_expect_eq(accounts_login(accounts, ADA, ACCOUNTS_PASSWORD).status, STATUS_INTERNAL);
  cr_expect_eq(accounts_refresh(accounts, second_token).status, STATUS_INTERNAL);
  database_sql(&accounts->database, "ALTER TABLE auth.credentials RENAME TO elsewhere_too");
  cr_expect_eq(accounts_sign_up(accounts, "eve@example.com", "third heron password").status, STATUS_INTERNAL);

  const char *const all[] = {ACCOUNTS_PASSWORD,
                             "wrong-password",
                             "second-password",
                             "third heron password",
                             "pw-shrt",
                             "dragonmasterdragon",
                             "unknown-refresh-token",
                             tokens->refresh_token,
                             tokens->access_token,
                             second_token,
                             ACCOUNTS_KEY_SECRET,
                             "of-tests",
                             hash,
                             "$argon2id$"};
  memcpy(secrets, all, sizeof(all));
  return ARRAY_LEN(all);
}

Test(auth_logs, hold_no_secret)
{
  struct accounts accounts;
  const char *secrets[16];
  accounts_open(&accounts, (const char *const[]){"LOG_LEVEL=debug", NULL});
  size_t count = use_secrets(&accounts, secrets);
  struct arena arena;
  arena_init(&arena);
  for (size_t i = 0; i < count; i++)
    secrets[i] = arena_string(&arena, slice_from_string(secrets[i]));
  accounts_stop(&accounts);
  // This line proves that the log is the one of those calls.
  EXPECT_OUTPUT(accounts.auth, "\"level\":\"debug\"");
  EXPECT_OUTPUT(accounts.auth, "auth.v1.AuthService/Login");
  EXPECT_OUTPUT(accounts.auth, "does not exist");
  EXPECT_OUTPUT(accounts.user, "user.v1.UserService/CreateUser");
  for (size_t i = 0; i < count; i++) {
    EXPECT_NO_OUTPUT(accounts.auth, secrets[i]);
    EXPECT_NO_OUTPUT(accounts.user, secrets[i]);
  }
  accounts_free(&accounts);
  arena_free(&arena);
}
