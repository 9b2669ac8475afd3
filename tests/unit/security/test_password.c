// Passwords. The costs are the least that libsodium takes: what is tried here does not depend on them.
#include <criterion/criterion.h>
#include <string.h>

#include "common/security/password.h"

static const struct password_cost cheap = {.operations = 1, .memory_bytes = 8192};

Test(password, fits_its_own_hash_only)
{
  char hash[PASSWORD_HASH_SIZE];
  cr_assert_eq(password_hash(SLICE("correct horse"), &cheap, hash), STATUS_OK);
  cr_assert(slice_starts_with(slice_from_string(hash), SLICE("$argon2id$v=19$m=8,t=1,p=1$")));
  cr_assert(password_verify(SLICE("correct horse"), hash));
  cr_assert_not(password_verify(SLICE("correct horsf"), hash));
  cr_assert_not(password_verify(SLICE("correct hors"), hash));
  cr_assert_not(password_verify(SLICE("correct horse "), hash));
  cr_assert_not(password_verify(SLICE(""), hash));
}

Test(password, same_password_has_another_hash_each_time)
{
  char one[PASSWORD_HASH_SIZE], two[PASSWORD_HASH_SIZE];
  cr_assert_eq(password_hash(SLICE("x"), &cheap, one), STATUS_OK);
  cr_assert_eq(password_hash(SLICE("x"), &cheap, two), STATUS_OK);
  cr_assert_str_neq(one, two);
}

// Made with the reference implementation of RFC 9106 (the program argon2), password and salt as written here.
Test(password, takes_the_string_of_the_reference_implementation)
{
  cr_assert(password_verify(
      SLICE("correct horse battery staple"),
      "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$ISO7kkvFzh19GM8qB7patN3C3Y9HHsjlVTfEZ9T600Y"));
}

// Right, but argon2i, which RFC 9106 does not advise for passwords: the algorithm is pinned.
Test(password, another_algorithm_is_no_hash)
{
  static const char argon2i[] =
      "$argon2i$v=19$m=8192,t=3,p=1$c29tZXNhbHRzb21lc2FsdA$pb7cdOVVsmUTX5aa0cGzSZxiYxYoE6/00Um0QjNcA7w";
  cr_assert_not(password_verify(SLICE("correct horse battery staple"), argon2i));
  cr_assert(password_needs_rehash(argon2i, &(struct password_cost){.operations = 3, .memory_bytes = 8192 * 1024}));
}

Test(password, malformed_hashes_fit_nothing)
{
  char hash[PASSWORD_HASH_SIZE];
  cr_assert_eq(password_hash(SLICE("x"), &cheap, hash), STATUS_OK);
  cr_assert_not(password_verify(SLICE("x"), ""));
  cr_assert_not(password_verify(SLICE("x"), "$argon2id$"));
  cr_assert_not(password_verify(SLICE("x"), "$argon2id$v=19$m=8,t=1,p=1$$"));
  cr_assert_not(password_verify(SLICE("x"), "$argon2id$v=19$m=99999999999,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAA"));
  cr_assert_not(password_verify(SLICE("x"), "x"));
  char endless[512];
  memset(endless, 'A', sizeof endless - 1);
  endless[sizeof endless - 1] = '\0';
  memcpy(endless, "$argon2id$v=19$m=8,t=1,p=1$", 27);
  cr_assert_not(password_verify(SLICE("x"), endless));
  cr_assert(password_needs_rehash(endless, &cheap));
  size_t size = strlen(hash);
  for (size_t cut = 0; cut < size; cut++) {
    char shorter[PASSWORD_HASH_SIZE] = {0};
    memcpy(shorter, hash, cut);
    cr_assert_not(password_verify(SLICE("x"), shorter), "cut at %zu", cut);
  }
}

Test(password, size_is_bounded)
{
  static char text[PASSWORD_MAX_BYTES + 1];
  memset(text, 'p', sizeof text);
  char hash[PASSWORD_HASH_SIZE];
  cr_assert_eq(password_hash(slice_make(text, PASSWORD_MAX_BYTES), &cheap, hash), STATUS_OK);
  cr_assert(password_verify(slice_make(text, PASSWORD_MAX_BYTES), hash));
  cr_assert_eq(password_hash(slice_make(text, sizeof text), &cheap, hash), STATUS_INVALID_ARGUMENT);
  cr_assert_eq(password_hash(SLICE(""), &cheap, hash), STATUS_INVALID_ARGUMENT);
}

Test(password, bytes_after_a_zero_count)
{
  char hash[PASSWORD_HASH_SIZE];
  cr_assert_eq(password_hash(slice_make("a\0b", 3), &cheap, hash), STATUS_OK);
  cr_assert(password_verify(slice_make("a\0b", 3), hash));
  cr_assert_not(password_verify(slice_make("a\0c", 3), hash));
}

Test(password, impossible_costs_are_refused)
{
  char hash[PASSWORD_HASH_SIZE];
  static const struct password_cost bad[] = {
      {.operations = 0, .memory_bytes = 8192},
      {.operations = 1, .memory_bytes = 8191},
      {.operations = UINT64_C(1) << 40, .memory_bytes = 8192},
      {.operations = 1, .memory_bytes = SIZE_MAX},
  };
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    cr_assert_eq(password_hash(SLICE("x"), &bad[i], hash), STATUS_INVALID_ARGUMENT, "case %zu", i);
    password_verify_dummy(SLICE("x"), &bad[i]);
  }
}

Test(password, another_cost_asks_for_a_new_hash)
{
  char hash[PASSWORD_HASH_SIZE];
  cr_assert_eq(password_hash(SLICE("x"), &cheap, hash), STATUS_OK);
  cr_assert_not(password_needs_rehash(hash, &cheap));
  cr_assert(password_needs_rehash(hash, &(struct password_cost){.operations = 2, .memory_bytes = 8192}));
  cr_assert(password_needs_rehash(hash, &(struct password_cost){.operations = 1, .memory_bytes = 16384}));
  cr_assert(password_needs_rehash("", &cheap));
}
