// Passwords. The costs are the lowest that libsodium accepts, because the tests do not depend on them.
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <sodium.h>
#include <string.h>

#include "common/security/password.h"
#include "common/security/password_text_internal.h"

// Stands in front of libsodium's function of this name, and counts its calls.
static unsigned hashes_computed;
static struct password_cost last_cost;

// NOLINTNEXTLINE(readability-function-size): the parameters are libsodium's
int crypto_pwhash(unsigned char *const out, unsigned long long outlen, const char *const passwd,
                  unsigned long long passwdlen, const unsigned char *const salt, unsigned long long opslimit,
                  size_t memlimit, int alg)
{
  int (*real)(unsigned char *, unsigned long long, const char *, unsigned long long, const unsigned char *,
              unsigned long long, size_t, int);
  void *address = dlsym(RTLD_NEXT, "crypto_pwhash");
  memcpy(&real, &address, sizeof(real));
  hashes_computed++;
  last_cost = (struct password_cost){.operations = opslimit, .memory_bytes = memlimit};
  return real(out, outlen, passwd, passwdlen, salt, opslimit, memlimit, alg);
}

static unsigned hashes_compared;

// Stands in front of libsodium's function as well.
int crypto_pwhash_str_verify(const char str[crypto_pwhash_STRBYTES], const char *const passwd,
                             unsigned long long passwdlen)
{
  int (*real)(const char *, const char *, unsigned long long);
  void *address = dlsym(RTLD_NEXT, "crypto_pwhash_str_verify");
  memcpy(&real, &address, sizeof(real));
  hashes_compared++;
  return real(str, passwd, passwdlen);
}

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

// The hash was made with the reference implementation of RFC 9106 (the program argon2).
Test(password, takes_the_string_of_the_reference_implementation)
{
  cr_assert(password_verify(
      SLICE("correct horse battery staple"),
      "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$ISO7kkvFzh19GM8qB7patN3C3Y9HHsjlVTfEZ9T600Y"));
}

// The password is right, but the hash is argon2i, which RFC 9106 does not advise for passwords.
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
  static char text[PASSWORD_MAX_CODE_POINTS + 1];
  memset(text, 'p', sizeof text);
  char hash[PASSWORD_HASH_SIZE];
  cr_assert_eq(password_hash(slice_make(text, PASSWORD_MAX_CODE_POINTS), &cheap, hash), STATUS_OK);
  cr_assert(password_verify(slice_make(text, PASSWORD_MAX_CODE_POINTS), hash));
  cr_assert_eq(password_hash(slice_make(text, sizeof text), &cheap, hash), STATUS_INVALID_ARGUMENT);
  cr_assert_not(password_verify(slice_make(text, sizeof text), hash));
  cr_assert_eq(password_hash(SLICE(""), &cheap, hash), STATUS_INVALID_ARGUMENT);
}

#define CAFE_COMPOSED "caf\xC3\xA9 au lait"
#define CAFE_DECOMPOSED "cafe\xCC\x81 au lait"

Test(password, both_spellings_of_an_accent_are_one_password)
{
  char hash[PASSWORD_HASH_SIZE];
  cr_assert_eq(password_hash(SLICE(CAFE_DECOMPOSED), &cheap, hash), STATUS_OK);
  cr_expect_eq(password_verify(SLICE(CAFE_COMPOSED), hash), PASSWORD_RIGHT);
  cr_expect_eq(password_verify(SLICE(CAFE_DECOMPOSED), hash), PASSWORD_RIGHT);
  cr_expect_eq(password_verify(SLICE("cafe au lait"), hash), PASSWORD_WRONG);
}

// The hash is of the decomposed text as it was sent, as releases before the normalisation stored it.
Test(password, a_hash_of_the_text_as_given_still_fits_that_text)
{
  char hash[crypto_pwhash_STRBYTES];
  cr_assert_eq(crypto_pwhash_str_alg(hash, CAFE_DECOMPOSED, strlen(CAFE_DECOMPOSED), cheap.operations,
                                     cheap.memory_bytes, crypto_pwhash_ALG_ARGON2ID13),
               0);
  cr_expect_eq(password_verify(SLICE(CAFE_DECOMPOSED), hash), PASSWORD_RIGHT_AS_GIVEN);
  cr_expect_eq(password_verify(SLICE(CAFE_COMPOSED), hash), PASSWORD_WRONG);
}

// The number of computations follows from the text that was given, never from whether the account exists.
Test(password, an_unknown_account_costs_as_much_for_a_text_in_another_form)
{
  char hash[PASSWORD_HASH_SIZE];
  cr_assert_eq(password_hash(SLICE("x"), &cheap, hash), STATUS_OK);
  hashes_computed = 0;
  password_verify_dummy(SLICE(CAFE_COMPOSED), &cheap);
  cr_expect_eq(hashes_computed, 1);
  password_verify_dummy(SLICE(CAFE_DECOMPOSED), &cheap);
  cr_expect_eq(hashes_computed, 3);
  cr_expect_eq(password_verify(SLICE(CAFE_COMPOSED), hash), PASSWORD_WRONG);
  cr_expect_eq(password_verify(SLICE(CAFE_DECOMPOSED), hash), PASSWORD_WRONG);
  cr_expect_eq(hashes_compared, 3);
}

Test(password, what_is_no_text_is_not_hashed_and_fits_nothing_new)
{
  char hash[PASSWORD_HASH_SIZE];
  cr_expect_eq(password_hash(SLICE("\xFF\xFE correct horse"), &cheap, hash), STATUS_INVALID_ARGUMENT);
  cr_assert_eq(password_hash(SLICE("correct horse"), &cheap, hash), STATUS_OK);
  cr_expect_eq(password_verify(SLICE("\xFF\xFE correct horse"), hash), PASSWORD_WRONG);
}

// 256 syllables of Korean are 768 code points as some systems send them, and not one of them is lost.
Test(password, the_longest_password_may_come_decomposed)
{
  static char given[PASSWORD_MAX_CODE_POINTS * 9];
  for (size_t i = 0; i < PASSWORD_MAX_CODE_POINTS; i++)
    memcpy(given + 9 * i, "\xE1\x84\x92\xE1\x85\xA1\xE1\x86\xAB", 9);
  struct password_text text;
  cr_assert_eq(password_normalise(slice_make(given, sizeof given), &text), STATUS_OK);
  cr_expect_eq(text.code_points, PASSWORD_MAX_CODE_POINTS);
  cr_expect_eq(text.size, 3 * PASSWORD_MAX_CODE_POINTS);
  char hash[PASSWORD_HASH_SIZE];
  cr_assert_eq(password_hash(slice_make(given, sizeof given), &cheap, hash), STATUS_OK);
  given[sizeof given - 1] = (char)0xAC;
  cr_expect_eq(password_verify(slice_make(given, sizeof given), hash), PASSWORD_WRONG);
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

// Without the dummy, the time of a login would tell which accounts exist.
Test(password, the_dummy_does_the_work_of_a_verification)
{
  static const struct password_cost dearer = {.operations = 2, .memory_bytes = 16384};
  password_verify_dummy(SLICE("x"), &dearer);
  cr_expect_eq(hashes_computed, 1);
  cr_expect_eq(last_cost.operations, dearer.operations);
  cr_expect_eq(last_cost.memory_bytes, dearer.memory_bytes);
  // password_verify, too, refuses such passwords before it hashes.
  static char text[PASSWORD_MAX_BYTES + 1];
  memset(text, 'p', sizeof text);
  password_verify_dummy(slice_make(text, sizeof text), &dearer);
  password_verify_dummy(SLICE(""), &dearer);
  cr_expect_eq(hashes_computed, 1);
}
