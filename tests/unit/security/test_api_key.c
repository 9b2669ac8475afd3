// The text of API keys: what is made, and what is told apart without asking anybody.
#include <criterion/criterion.h>
#include <string.h>

#include "common/security/api_key.h"

// The checksum was computed with Python's zlib.crc32.
#define KEY "bhk_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg2imMLQ"

static bool is_well_formed(const char *text)
{
  return api_key_is_well_formed(slice_from_string(text));
}

Test(api_key, a_key_that_others_have_checked_is_well_formed)
{
  cr_assert(is_well_formed(KEY));
  // A checksum with leading zeros.
  cr_assert(is_well_formed("bhk_00000000000000000000000000000000000000000001HwiEd"));
}

Test(api_key, new_keys_are_well_formed_and_differ)
{
  char first[API_KEY_SIZE], second[API_KEY_SIZE];
  api_key_make(first);
  api_key_make(second);
  cr_assert(is_well_formed(first) && is_well_formed(second));
  cr_assert_eq(strlen(first), API_KEY_BYTES);
  cr_assert_str_neq(first, second);
}

// Every place matters, and a typing error of one character is always found.
Test(api_key, no_other_character_fits_at_any_place)
{
  static const char others[] = "0Az_-\x01 \xff";
  for (size_t i = 0; i < API_KEY_BYTES; i++)
    for (size_t k = 0; k < sizeof(others) - 1; k++) {
      char text[] = KEY;
      if (text[i] == others[k])
        continue;
      text[i] = others[k];
      cr_assert_not(is_well_formed(text), "%s", text);
    }
}

Test(api_key, only_the_whole_text_is_a_key)
{
  cr_assert_not(is_well_formed(""));
  cr_assert_not(is_well_formed("bhk_"));
  cr_assert_not(is_well_formed(KEY "0"));
  cr_assert_not(api_key_is_well_formed(slice_make(KEY, API_KEY_BYTES - 1)));
  cr_assert_not(api_key_is_well_formed((struct slice){0}));
  char with_end[] = KEY;
  with_end[20] = '\0';
  cr_assert_not(api_key_is_well_formed(slice_make(with_end, API_KEY_BYTES)));
}

Test(api_key, what_begins_as_a_key_is_meant_as_one)
{
  cr_assert(api_key_is_meant(SLICE(KEY)));
  cr_assert(api_key_is_meant(SLICE("bhk_")));
  cr_assert_not(api_key_is_meant(SLICE("bhk")));
  cr_assert_not(api_key_is_meant(SLICE("BHK_0123")));
  cr_assert_not(api_key_is_meant(SLICE("eyJhbGciOiJFUzI1NiJ9.e30.c2ln")));
}
