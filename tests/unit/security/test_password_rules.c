// Which passwords may be chosen, and what is said about the others.
#include <criterion/criterion.h>
#include <string.h>

#include "common/base/compiler.h"
#include "common/security/password_rules.h"

static const struct password_rules rules = {
    .min_code_points = 15, .min_code_points_with_factor = 8, .product = "Bulkhead"};
static const struct password_owner ada = {.email = "ada.lovelace@example.com", .display_name = "Ada King Lovelace"};
static const struct password_owner ada_with_factor = {
    .email = "ada.lovelace@example.com", .display_name = "Ada King Lovelace", .has_second_factor = true};

static void expect(const char *password, const struct password_owner *owner, enum password_fault fault)
{
  struct password_verdict verdict = password_judge(slice_from_string(password), &rules, owner);
  cr_expect_eq(verdict.fault, fault, "%s: %d instead of %d", password, verdict.fault, fault);
}

static void expect_all(const char *const *passwords, size_t count, enum password_fault fault)
{
  for (size_t i = 0; i < count; i++)
    expect(passwords[i], &ada, fault);
}

static struct slice repeat(const char *unit, size_t count, char *out)
{
  size_t size = strlen(unit);
  for (size_t i = 0; i < count; i++)
    memcpy(out + i * size, unit, size);
  return slice_make(out, count * size);
}

Test(password_rules, any_kind_of_characters_will_do)
{
  static const char *const good[] = {
      "correct horse battery",
      "correct horse battery staple",
      "kolibri tunnel saturn",
      "7415 0926 8831 4407 2",
      "tunnelkolibrisaturn",
      "\xD0\xB7\xD0\xB5\xD0\xBB\xD1\x91\xD0\xBD\xD1\x8B\xD0\xB9 \xD1\x87\xD0\xB0\xD0\xB9\xD0\xBD\xD0\xB8\xD0\xBA "
      "\xD1\x81\xD0\xBD\xD0\xB5\xD0\xB3",
      "\xF0\x9F\x90\xA2\xF0\x9F\x9A\x82\xF0\x9F\x8D\x8B\xF0\x9F\x8E\xB7\xF0\x9F\x8C\x8B lemon train",
      "  spaces at both ends ",
  };
  expect_all(good, ARRAY_LEN(good), PASSWORD_GOOD);
}

Test(password_rules, the_minimum_depends_on_a_second_factor)
{
  expect("wolf tusk gnaw", &ada, PASSWORD_TOO_SHORT);
  expect("wolf tusk gnaws", &ada, PASSWORD_GOOD);
  expect("wolf tusk gnaw", &ada_with_factor, PASSWORD_GOOD);
  expect("k7#vR2q", &ada_with_factor, PASSWORD_TOO_SHORT);
  expect("k7#vR2qx", &ada_with_factor, PASSWORD_GOOD);
  expect("", &ada, PASSWORD_TOO_SHORT);
}

// Both texts are "wolf tusk gnawé" or a letter less; an accent of its own is one code point more before normalisation.
Test(password_rules, characters_are_counted_after_normalisation)
{
  expect("wolf tusk gn\xC3\xA9w", &ada, PASSWORD_TOO_SHORT);
  expect("wolf tusk gne\xCC\x81w", &ada, PASSWORD_TOO_SHORT);
  expect("wolf tusk gne\xCC\x81ws", &ada, PASSWORD_GOOD);
  struct password_verdict verdict = password_judge(SLICE("wolf tusk gne\xCC\x81w"), &rules, &ada);
  cr_expect_eq(verdict.found, 14);
  cr_expect_eq(verdict.bound, 15);
}

Test(password_rules, the_maximum_is_256_and_nothing_is_cut_off)
{
  static char text[4096];
  struct slice longest = repeat("zinc oar kelp mu", 16, text);
  cr_expect_eq(longest.size, 256);
  cr_expect_eq(password_judge(longest, &rules, &ada).fault, PASSWORD_GOOD);
  text[256] = 'x';
  struct password_verdict verdict = password_judge(slice_make(text, 257), &rules, &ada);
  cr_expect_eq(verdict.fault, PASSWORD_TOO_LONG);
  cr_expect_eq(verdict.found, 257);
  cr_expect_eq(verdict.bound, 256);
  cr_expect_eq(password_judge(repeat("\xF0\x9F\x90\xA2", 257, text), &rules, &ada).fault, PASSWORD_TOO_LONG);
}

Test(password_rules, what_is_no_text_is_refused)
{
  static const char *const bad[] = {
      "wolf tusk gnaws \xFF\xFE",                       // no UTF-8
      "wolf tusk gnaws \xED\xA0\x80",                   // a surrogate
      "wolf tusk gnaws \xF3\xA0\x84\x80x\xEF\xBF\xBE",  // a noncharacter
      "wolf tusk gnaws \xCD\xB8",                       // U+0378, unassigned
      "wolf tusk\tgnaws away",
      "wolf tusk gnaws\n",
      "wolf tusk gnaws \x7F",
      "wolf tusk gnaws \xC2\x85",
  };
  expect_all(bad, ARRAY_LEN(bad), PASSWORD_NOT_TEXT);
  cr_expect_eq(password_judge(slice_make("wolf tusk gnaws\0x", 17), &rules, &ada).fault, PASSWORD_NOT_TEXT);
}

Test(password_rules, common_passwords_are_found_in_any_dress)
{
  static const char *const bad[] = {
      "passwordpassword",
      "PasswordPassword",
      "password password",
      "pass-word_pass.word",
      "passwordpassword1",
      "PasswordPassword2026",
      "qwertyuiopasdfgh",
      "May the force be with you!",
      "MAYTHEFORCEBEWITHYOU",
      "thisismypassword!1!",
      "motdepassemotdepasse",
      "\xEF\xBD\x90\xEF\xBD\x81\xEF\xBD\x93\xEF\xBD\x93\xEF\xBD\x97\xEF\xBD\x8F\xEF\xBD\x92\xEF\xBD\x84 "
      "password",  // wide
      "1qaz2wsx3edc4rfv",
      "supercalifragilisticexpialidocious",
  };
  expect_all(bad, ARRAY_LEN(bad), PASSWORD_COMMON);
  expect("password", &ada_with_factor, PASSWORD_COMMON);
  expect("Iloveyou!", &ada_with_factor, PASSWORD_COMMON);
  // A common word in a longer text is none of the list's.
  expect("password of the heron king", &ada, PASSWORD_GOOD);
}

Test(password_rules, what_others_know_of_the_account_is_refused)
{
  static const char *const bad[] = {
      "ada.lovelace@example.com", "ADA.LOVELACE@EXAMPLE.COM", "Ada King Lovelace", "adakinglovelace1815",
      "lovelace lovelace",        "Lovelace-Lovelace-7",      "BulkheadBulkhead",  "bulkhead lovelace",
      "Bulkhead2026!!!",          "example.com1234",
  };
  expect_all(bad, ARRAY_LEN(bad), PASSWORD_FROM_ACCOUNT);
  expect("bulkhead", &ada_with_factor, PASSWORD_FROM_ACCOUNT);
  expect("a bulkhead of oak and heron feathers", &ada, PASSWORD_GOOD);
  // Nothing is known: the words are as good as others.
  static const struct password_owner nobody = {0};
  expect("Ada King Lovelace", &nobody, PASSWORD_GOOD);
}

Test(password_rules, what_is_easily_guessed_is_refused)
{
  static const char *const bad[] = {
      "aaaaaaaaaaaaaaab",
      "abcabcabcabcabcabc!",
      "\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9"
      "\xC3\xA9",
      "monkeymonkeymonkeymonkey1999",
      "dragonmasterdragon",
      "p@ssw0rdp@ssw0rd12345",
  };
  expect_all(bad, ARRAY_LEN(bad), PASSWORD_GUESSABLE);
}

// The cost of zxcvbn is that of the pieces it is given; a strong piece anywhere makes a long text strong.
Test(password_rules, long_texts_are_rated_by_pieces)
{
  static char text[4096];
  cr_expect_eq(password_judge(repeat("x", 256, text), &rules, &ada).fault, PASSWORD_GUESSABLE);
  cr_expect_eq(password_judge(repeat("\xF0\x9F\x90\xA2", 256, text), &rules, &ada).fault, PASSWORD_GUESSABLE);
  struct slice late = repeat("x", 200, text);
  memcpy(text + 200, "kolibri tunnel saturn wolf tusk", 31);
  cr_expect_eq(password_judge(slice_make(text, late.size + 31), &rules, &ada).fault, PASSWORD_GOOD);
}

Test(password_rules, each_refusal_says_what_to_do)
{
  static const struct {
    const char *password, *reason, *says;
  } cases[] = {
      {"short", "PASSWORD_TOO_SHORT", "must be at least 15 characters, and has 5; several words"},
      {"wolf tusk\tgnaws away", "PASSWORD_NOT_TEXT", "control character"},
      {"passwordpassword", "PASSWORD_COMMON", "tried first; choose another one"},
      {"Ada King Lovelace", "PASSWORD_FROM_ACCOUNT", "the e-mail address, the name or the product's name"},
      {"dragonmasterdragon", "PASSWORD_GUESSABLE", "easy to guess"},
  };
  for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
    struct password_verdict verdict = password_judge(slice_from_string(cases[i].password), &rules, &ada);
    char says[PASSWORD_EXPLANATION_SIZE];
    password_explain(&verdict, says);
    cr_expect_str_eq(password_fault_reason(verdict.fault), cases[i].reason);
    cr_expect_not_null(strstr(says, cases[i].says), "%s: %s", cases[i].password, says);
    cr_expect_null(strstr(says, cases[i].password), "the password itself is told");
    cr_expect_lt(strlen(says), PASSWORD_EXPLANATION_SIZE - 1, "cut off: %s", says);
  }
  static const struct password_verdict too_long = {.fault = PASSWORD_TOO_LONG, .found = 300, .bound = 256};
  char says[PASSWORD_EXPLANATION_SIZE];
  password_explain(&too_long, says);
  cr_expect_str_eq(says, "must be at most 256 characters");
  cr_expect_str_eq(password_fault_reason(PASSWORD_TOO_LONG), "PASSWORD_TOO_LONG");
  cr_expect_null(password_fault_reason(PASSWORD_UNJUDGED));
}

// The list is searched by bisection, so a line at the wrong place would not be found, nor one that is not folded.
Test(password_rules, every_line_of_the_list_is_found)
{
  static const char list[] =
#include "common/security/common_passwords.def"
      ;
  static const struct password_owner owner = {.has_second_factor = true};
  size_t lines = 0;
  for (const char *line = list; *line != '\0'; lines++) {
    size_t size = strcspn(line, "\n");
    enum password_fault fault = password_judge(slice_make(line, size), &rules, &owner).fault;
    cr_expect_eq(fault, PASSWORD_COMMON, "%.*s: %d", (int)size, line, fault);
    line += size + 1;
  }
  cr_expect_gt(lines, 1000);
}
