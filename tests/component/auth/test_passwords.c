// Which passwords an account may have, and those that were set before there were rules.
#include <criterion/criterion.h>
#include <string.h>

#include "tests/support/service/accounts.h"

#define ADA "ada@example.com"
#define CAFE_COMPOSED "caf\xC3\xA9 au lait, croissant"
#define CAFE_DECOMPOSED "cafe\xCC\x81 au lait, croissant"

static struct accounts accounts;

static void setup(void)
{
  accounts_open(&accounts, NULL);
}

static void teardown(void)
{
  accounts_close(&accounts);
}

TestSuite(auth_passwords, .init = setup, .fini = teardown);

static void expect_refused(const char *password, const char *reason)
{
  struct outcome outcome = accounts_sign_up(&accounts, ADA, password);
  cr_expect_eq(outcome.status, STATUS_INVALID_ARGUMENT, "%s: %s", password, status_name(outcome.status));
  cr_expect(slice_equal_string(outcome.reason, reason), "%s: " SLICE_FMT, password, SLICE_ARG(outcome.reason));
  cr_expect_eq(outcome.violation_count, 1);
  cr_expect(slice_equal_string(outcome.violation_field, "password"));
  cr_expect_gt(outcome.violation_description.size, 0);
}

// A refused sign-up leaves nothing behind, and the address stays free.
Test(auth_passwords, each_rule_refuses_a_sign_up_with_a_reason_of_its_own)
{
  expect_refused("short", "PASSWORD_TOO_SHORT");
  expect_refused("wolf tusk gne\xCC\x81w", "PASSWORD_TOO_SHORT");
  expect_refused("wolf tusk\tgnaws away", "PASSWORD_NOT_TEXT");
  expect_refused("passwordpassword", "PASSWORD_COMMON");
  expect_refused("Ada Lovelace Ada", "PASSWORD_FROM_ACCOUNT");
  expect_refused("ADA@example.com", "PASSWORD_FROM_ACCOUNT");
  expect_refused("Bulkhead Bulkhead", "PASSWORD_FROM_ACCOUNT");
  expect_refused("dragonmasterdragon", "PASSWORD_GUESSABLE");
  static char long_one[258];
  memset(long_one, 'x', sizeof long_one - 1);
  expect_refused(long_one, "PASSWORD_TOO_LONG");
  cr_expect_str_eq(database_sql(&accounts.database, "SELECT (SELECT count(*) FROM auth.credentials) +"
                                                    " (SELECT count(*) FROM \"user\".jobs)"),
                   "0");
  accounts_new_user(&accounts, ADA);
}

Test(auth_passwords, settings_ask_for_more_and_name_the_product)
{
  accounts_stop_auth(&accounts);
  accounts_start_auth(&accounts,
                      (const char *const[]){"AUTH_PASSWORD_MIN_LENGTH=20", "AUTH_PRODUCT_NAME=Tin Whistle", NULL});
  expect_refused("kolibri tunnel moth", "PASSWORD_TOO_SHORT");
  expect_refused("tin whistle tin whistle", "PASSWORD_FROM_ACCOUNT");
  cr_expect_eq(accounts_sign_up(&accounts, ADA, "kolibri tunnel moths").status, STATUS_OK);
}

Test(auth_passwords, both_spellings_of_an_accent_log_in)
{
  cr_assert_eq(accounts_sign_up(&accounts, ADA, CAFE_DECOMPOSED).status, STATUS_OK);
  cr_expect_eq(accounts_login(&accounts, ADA, CAFE_COMPOSED).status, STATUS_OK);
  cr_expect_eq(accounts_login(&accounts, ADA, CAFE_DECOMPOSED).status, STATUS_OK);
  cr_expect_eq(accounts_login(&accounts, ADA, "cafe au lait, croissant").status, STATUS_UNAUTHENTICATED);
}

static const char *stored_hash(void)
{
  return database_sql(&accounts.database, "SELECT password_hash FROM auth.credentials");
}

// Stores a hash as releases before the normalisation did.
static void store_hash(const char *hash)
{
  database_sql(&accounts.database, "UPDATE auth.credentials SET password_hash = '%s'", hash);
}

Test(auth_passwords, a_password_from_before_the_rules_still_logs_in)
{
  accounts_new_user(&accounts, ADA);
  store_hash("$argon2id$v=19$m=8,t=1,p=1$bHT4+KE7gzsMX1jdkZq7Ig$OYHvLh3kNyZ2c+a6FHFP5+JT1xsdJhuZ3EI/ovQ6+Js");
  cr_expect_eq(accounts_login(&accounts, ADA, "password").status, STATUS_OK);
}

Test(auth_passwords, a_hash_of_a_text_that_was_not_normalised_is_made_again_at_login)
{
  accounts_new_user(&accounts, ADA);
  // The hash is of the bytes of CAFE_DECOMPOSED.
  store_hash("$argon2id$v=19$m=8,t=1,p=1$gnxn1iKV2BB6YGIVWa41Ug$FhJfHCSv6p20EgKo0XzbEjuHgeiWygg5U9f90E4hrL0");
  const char *before = stored_hash();
  cr_expect_eq(accounts_login(&accounts, ADA, CAFE_COMPOSED).status, STATUS_UNAUTHENTICATED);
  cr_expect_eq(accounts_login(&accounts, ADA, CAFE_DECOMPOSED).status, STATUS_OK);
  cr_expect_str_neq(stored_hash(), before);
  cr_expect_eq(accounts_login(&accounts, ADA, CAFE_COMPOSED).status, STATUS_OK);
}
