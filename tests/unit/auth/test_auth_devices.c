#include <criterion/criterion.h>

#include "services/auth/auth_devices.h"

#define NOW_S INT64_C(1700000000)
#define SECRET "0123456789abcdef0123456789abcdef"

static struct arena arena;

static void setup(void)
{
  arena_init(&arena);
}

static void teardown(void)
{
  arena_free(&arena);
}

TestSuite(auth_devices, .init = setup, .fini = teardown);

static const char *account_of(const char *email)
{
  return auth_devices_account(SECRET, email, &arena);
}

static struct device_scope scope_of(const char *secret, const char *account, int64_t now_s)
{
  return (struct device_scope){.secret = secret, .account = account, .now_ms = now_s * 1000};
}

static const char *issue(const char *account)
{
  char *token = NULL;
  const struct device_scope scope = scope_of(SECRET, account, NOW_S);
  cr_assert_eq(auth_devices_issue(&scope, NULL, &arena, &token), STATUS_OK);
  return token;
}

static bool is_known(const char *secret, const char *account, const char *token)
{
  struct device device;
  const struct device_scope scope = scope_of(secret, account, NOW_S);
  return auth_devices_read(&scope, token, &arena, &device);
}

Test(auth_devices, an_account_is_named_without_its_address)
{
  const char *account = account_of("Ada@Example.com");
  cr_expect_str_eq(account, account_of("ada@example.com"));
  cr_expect_str_neq(account, account_of("bob@example.com"));
  cr_expect_str_neq(account, auth_devices_account("another secret", "ada@example.com", &arena));
  cr_expect_null(strstr(account, "ada"));
}

Test(auth_devices, a_token_is_of_one_account_and_one_secret)
{
  const char *ada = account_of("ada@example.com");
  const char *token = issue(ada);
  cr_expect(is_known(SECRET, ada, token));
  cr_expect_not(is_known(SECRET, account_of("bob@example.com"), token));
  cr_expect_not(is_known("another secret of 32 characters!", ada, token));
  cr_expect_not(is_known(SECRET, ada, NULL));
  cr_expect_not(is_known(SECRET, ada, ""));
  cr_expect_not(is_known(SECRET, ada, "bm90IGEgdG9rZW4"));
}

Test(auth_devices, a_changed_token_is_none)
{
  const char *ada = account_of("ada@example.com");
  char *token = arena_string(&arena, slice_from_string(issue(ada)));
  // The last character has bits that mean nothing.
  for (size_t i = 0; i + 1 < strlen(token); i++) {
    char before = token[i];
    token[i] = before == 'A' ? 'B' : 'A';
    cr_expect_not(is_known(SECRET, ada, token), "character %zu", i);
    token[i] = before;
  }
  cr_expect(is_known(SECRET, ada, token));
}

Test(auth_devices, a_device_keeps_its_id_at_the_next_login)
{
  const char *ada = account_of("ada@example.com");
  struct device first, second, other;
  const struct device_scope scope = scope_of(SECRET, ada, NOW_S);
  cr_assert(auth_devices_read(&scope, issue(ada), &arena, &first));
  char *next = NULL;
  cr_assert_eq(auth_devices_issue(&scope, &first, &arena, &next), STATUS_OK);
  cr_assert(auth_devices_read(&scope, next, &arena, &second));
  cr_expect_arr_eq(first.id, second.id, DEVICE_ID_BYTES);
  cr_assert(auth_devices_read(&scope, issue(ada), &arena, &other));
  cr_expect_arr_neq(first.id, other.id, DEVICE_ID_BYTES);
}

Test(auth_devices, a_token_says_when_it_was_issued_and_lasts_half_a_year)
{
  const char *ada = account_of("ada@example.com");
  const char *token = issue(ada);
  struct device device;
  const int64_t half_a_year_s = INT64_C(183) * 86400;
  const struct device_scope last = scope_of(SECRET, ada, NOW_S + half_a_year_s - 1);
  const struct device_scope over = scope_of(SECRET, ada, NOW_S + half_a_year_s);
  cr_assert(auth_devices_read(&last, token, &arena, &device));
  cr_expect_eq(device.issued_s, NOW_S);
  cr_expect_not(auth_devices_read(&over, token, &arena, &device));
}
