// Codes as people type them, and what the database keeps of them.
#include <criterion/criterion.h>
#include <string.h>

#include "common/base/compiler.h"
#include "services/auth/factor_codes.h"

#define SECRET "0123456789abcdef0123456789abcdef"
#define ADA "01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6b"
#define EVE "01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6c"

static struct arena arena;

static void setup(void)
{
  arena_init(&arena);
}

static void teardown(void)
{
  arena_free(&arena);
}

TestSuite(factor_codes, .init = setup, .fini = teardown);

Test(factor_codes, case_spaces_and_hyphens_do_not_matter)
{
  cr_expect_str_eq(factor_code_fold("K3VQ-7xw2 m5pt-9AHE", &arena), "k3vq7xw2m5pt9ahe");
  cr_expect_str_eq(factor_code_fold("287 082", &arena), "287082");
  cr_expect_str_eq(factor_code_fold(" - ", &arena), "");
}

Test(factor_codes, six_digits_are_of_an_app)
{
  cr_expect(factor_code_is_totp("000000"));
  static const char *const others[] = {"", "28708", "2870820", "28708a", "k3vq7xw2m5pt9ahe"};
  for (size_t i = 0; i < ARRAY_LEN(others); i++)
    cr_expect_not(factor_code_is_totp(others[i]), "%s", others[i]);
}

Test(factor_codes, recovery_codes_differ_and_have_no_letters_that_look_alike)
{
  const char *codes[100];
  for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
    codes[i] = recovery_code_new(&arena);
    cr_assert_eq(strlen(codes[i]), 19);
    cr_expect_eq(strcspn(codes[i], "01ilo"), 19);
    cr_expect_eq(strlen(factor_code_fold(codes[i], &arena)), 16);
    for (size_t k = 0; k < i; k++)
      cr_expect_str_neq(codes[i], codes[k]);
  }
}

Test(factor_codes, a_hash_holds_for_one_account_and_secret)
{
  const char *hash = recovery_code_hash(SECRET, ADA, "k3vq7xw2m5pt9ahe", &arena);
  cr_expect_eq(strlen(hash), 64);
  cr_expect_str_eq(recovery_code_hash(SECRET, ADA, "k3vq7xw2m5pt9ahe", &arena), hash);
  cr_expect_str_neq(recovery_code_hash(SECRET, EVE, "k3vq7xw2m5pt9ahe", &arena), hash);
  cr_expect_str_neq(recovery_code_hash("another secret", ADA, "k3vq7xw2m5pt9ahe", &arena), hash);
  cr_expect_str_neq(recovery_code_hash(SECRET, ADA, "k3vq7xw2m5pt9ahf", &arena), hash);
}

Test(factor_codes, a_secret_opens_for_its_account_and_factor_alone)
{
  struct slice sealed, opened;
  cr_assert_eq(factor_secret_seal(SECRET, ADA, "1", SLICE("twenty bytes of code"), &arena, &sealed), STATUS_OK);
  cr_assert_eq(factor_secret_open(SECRET, ADA, "1", sealed, &arena, &opened), STATUS_OK);
  cr_expect(slice_equal_string(opened, "twenty bytes of code"));
  cr_expect_eq(factor_secret_open(SECRET, EVE, "1", sealed, &arena, &opened), STATUS_FAILED_PRECONDITION);
  cr_expect_eq(factor_secret_open(SECRET, ADA, "2", sealed, &arena, &opened), STATUS_FAILED_PRECONDITION);
}
