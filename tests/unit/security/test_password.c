// Passwords. The costs are the lowest that libsodium accepts, because the tests do not depend on them.
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <sodium.h>
#include <string.h>

#include "common/security/password.h"

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
