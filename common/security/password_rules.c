#include "common/security/password_rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unicase.h>
#include <unictype.h>
#include <uninorm.h>
#include <unistr.h>
#include <zxcvbn.h>

#include "common/base/compiler.h"
#include "common/base/utf8.h"
#include "common/security/key.h"
#include "common/security/password_text_internal.h"

// zxcvbn's score 3 of 4: more than 10^8 guesses.
#define MIN_BITS 26.6
// zxcvbn's cost grows with the square of the text. It reads this much at a time, and no more than the whole.
#define RATED_PIECE_BYTES 100
#define RATED_BYTES 500
// What is left of a password without the words of the account must have as many code points.
#define MIN_OWN_CODE_POINTS 8
// Shorter words are too frequent in others: "ann" in "planner".
#define MIN_WORD_CODE_POINTS 4
#define MAX_WORDS 16
// How many digits and signs at the end do not make another password of a common one.
#define MAX_APPENDIX 4

static const char common_passwords[] =
#include "common/security/common_passwords.def"
    ;

// A text in a form for comparisons, in memory of its own that is erased.
struct form {
  char *bytes;  // NULL: not enough memory
  size_t size;
  size_t capacity;
};

static void free_form(struct form *form)
{
  if (form->bytes == NULL)
    return;
  key_erase(form->bytes, form->capacity);
  free(form->bytes);
}

static struct slice slice_of(const struct form *form)
{
  return slice_make(form->bytes, form->size);
}

// What people put between words, or leave out there.
static bool is_separator(char byte)
{
  return byte != '\0' && strchr(" -_.,@+'", byte) != NULL;
}

static size_t remove_separators(char *bytes, size_t size)
{
  size_t kept = 0;
  for (size_t i = 0; i < size; i++) {
    if (!is_separator(bytes[i]))
      bytes[kept++] = bytes[i];
  }
  return kept;
}

// Folds a text to what all spellings of it have in common: compatible characters, case, separators.
static struct form fold(struct slice text)
{
  struct form form = {0};
  form.bytes = (char *)u8_casefold((const uint8_t *)text.data, text.size, NULL, UNINORM_NFKC, NULL, &form.size);
  form.capacity = form.size;
  if (form.bytes != NULL)
    form.size = remove_separators(form.bytes, form.size);
  return form;
}

// ---- characters ----

// A code point that is assigned later may be normalised otherwise by then (UAX 15, section 12.1). Controls come from
// slips, such as a tab, and not every client can send them.
static bool holds_only_text(const struct password_text *text)
{
  const uint8_t *at = (const uint8_t *)text->bytes, *end = at + text->size;
  while (at < end) {
    ucs4_t code_point;
    at += u8_mbtouc(&code_point, at, (size_t)(end - at));
    if (uc_is_general_category_withtable(code_point, UC_CATEGORY_MASK_Cn | UC_CATEGORY_MASK_Cc | UC_CATEGORY_MASK_Cs))
      return false;
  }
  return true;
}

// ---- words of the account ----

struct words {
  struct form items[MAX_WORDS];
  size_t count;
  bool failed;
};

static void add_word(struct words *words, struct slice word)
{
  if (words->count == MAX_WORDS)
    return;
  struct form form = fold(word);
  if (form.bytes == NULL) {
    words->failed = words->failed || word.size > 0;
    return;
  }
  if (utf8_length(slice_of(&form)) < MIN_WORD_CODE_POINTS)
    free_form(&form);
  else
    words->items[words->count++] = form;
}

// Adds a text as a whole and each of its words.
static void add_text(struct words *words, struct slice text)
{
  add_word(words, text);
  size_t start = 0;
  for (size_t i = 0; i <= text.size; i++) {
    if (i < text.size && !is_separator(text.data[i]))
      continue;
    if (i - start < text.size)
      add_word(words, slice_make(text.data + start, i - start));
    start = i + 1;
  }
}

static int compare_sizes(const void *a, const void *b)
{
  const struct form *left = a, *right = b;
  return left->size > right->size ? -1 : left->size < right->size;
}

// Collects what somebody who knows the account would try, the longest first.
static void collect_words(struct words *words, const struct password_rules *rules, const struct password_owner *owner)
{
  *words = (struct words){0};
  struct slice email = slice_from_string(owner->email == NULL ? "" : owner->email);
  struct slice local_part = slice_make(email.data, slice_find(email, '@', 0));
  add_word(words, email);
  add_text(words, slice_from_string(rules->product == NULL ? "" : rules->product));
  add_text(words, local_part);
  add_text(words, slice_from_string(owner->display_name == NULL ? "" : owner->display_name));
  if (local_part.size < email.size)
    add_text(words, slice_skip(email, local_part.size + 1));
  qsort(words->items, words->count, sizeof(words->items[0]), compare_sizes);
}

static void free_words(struct words *words)
{
  for (size_t i = 0; i < words->count; i++)
    free_form(&words->items[i]);
}

// Removes every occurrence of a word, and returns the new size.
static size_t remove_word(char *bytes, size_t size, const struct form *word)
{
  size_t at = 0;
  while (size - at >= word->size) {
    char *found = memmem(bytes + at, size - at, word->bytes, word->size);
    if (found == NULL)
      break;
    at = (size_t)(found - bytes);
    memmove(found, found + word->size, size - at - word->size);
    size -= word->size;
  }
  return size;
}

// Tells whether little is left of a password without the words. Changes `folded`.
static bool is_from_account(struct form *folded, const struct words *words)
{
  size_t size = folded->size;
  for (size_t i = 0; i < words->count; i++)
    size = remove_word(folded->bytes, size, &words->items[i]);
  return size < folded->size && utf8_length(slice_make(folded->bytes, size)) < MIN_OWN_CODE_POINTS;
}

// ---- common passwords ----

static int compare(struct slice a, struct slice b)
{
  int order = memcmp(a.data, b.data, a.size < b.size ? a.size : b.size);
  return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

// Finds a line of the list by bisection.
static bool is_listed(struct slice folded)
{
  size_t low = 0, high = sizeof(common_passwords) - 1;
  while (low < high) {
    size_t start = low + (high - low) / 2;
    while (start > low && common_passwords[start - 1] != '\n')
      start--;
    size_t end = slice_find(slice_make(common_passwords, high), '\n', start);
    int order = compare(folded, slice_make(common_passwords + start, end - start));
    if (order == 0)
      return true;
    if (order < 0)
      high = start;
    else
      low = end + 1;
  }
  return false;
}

// Tells whether a password is a common one, or one with some digits and signs behind it.
static bool is_common(struct slice folded)
{
  for (size_t cut = 0; cut <= MAX_APPENDIX && folded.size > 0; cut++) {
    if (is_listed(folded))
      return true;
    uint8_t last = (uint8_t)folded.data[folded.size - 1];
    if (last >= 0x80 || (last >= 'a' && last <= 'z'))
      return false;
    folded.size--;
  }
  return false;
}

// ---- guessing ----

// Rates the strongest piece of a text, in bits.
static double rate(const struct form *text, const char *words[])
{
  char piece[RATED_PIECE_BYTES + 1];
  double best = 0;
  for (size_t at = 0; at < text->size && at < RATED_BYTES && best < MIN_BITS; at += RATED_PIECE_BYTES) {
    size_t size = text->size - at < RATED_PIECE_BYTES ? text->size - at : RATED_PIECE_BYTES;
    memcpy(piece, text->bytes + at, size);
    piece[size] = '\0';
    double bits = ZxcvbnMatch(piece, words, NULL);
    best = bits > best ? bits : best;
  }
  key_erase(piece, sizeof(piece));
  return best;
}

// Writes a text as zxcvbn reads it, one byte a character: compatible characters alike, because a wide "a" is guessed
// like any other, and a character beyond ASCII as a byte that stands for it, so that its repetitions are seen as such.
static struct form spell_for_rating(const struct password_text *text)
{
  struct form form = {0};
  uint8_t *plain = u8_normalize(UNINORM_NFKC, (const uint8_t *)text->bytes, text->size, NULL, &form.capacity);
  if (plain == NULL)
    return form;
  form.bytes = (char *)plain;
  for (size_t at = 0; at < form.capacity;) {
    ucs4_t code_point;
    at += (size_t)u8_mbtouc(&code_point, plain + at, form.capacity - at);
    plain[form.size++] =
        code_point < 0x80 ? (uint8_t)code_point : (uint8_t)(0x80 | (code_point * UINT32_C(2654435761)) >> 25);
  }
  return form;
}

static enum password_fault rate_text(const struct password_text *text, const struct words *words)
{
  struct form spelt = spell_for_rating(text);
  if (spelt.bytes == NULL)
    return PASSWORD_UNJUDGED;
  char copies[MAX_WORDS][RATED_PIECE_BYTES];
  const char *strings[MAX_WORDS + 1] = {0};
  for (size_t i = 0; i < words->count; i++) {
    snprintf(copies[i], sizeof(copies[i]), SLICE_FMT, SLICE_ARG(slice_of(&words->items[i])));
    strings[i] = copies[i];
  }
  double bits = rate(&spelt, strings);
  free_form(&spelt);
  return bits < MIN_BITS ? PASSWORD_GUESSABLE : PASSWORD_GOOD;
}

// ---- the verdict ----

static enum password_fault judge_content(const struct password_text *text, const struct words *words)
{
  struct form folded = fold(password_text_slice(text));
  if (folded.bytes == NULL || words->failed) {
    free_form(&folded);
    return PASSWORD_UNJUDGED;
  }
  enum password_fault fault = PASSWORD_GOOD;
  if (is_common(slice_of(&folded)))
    fault = PASSWORD_COMMON;
  else if (is_from_account(&folded, words))
    fault = PASSWORD_FROM_ACCOUNT;
  free_form(&folded);
  return fault != PASSWORD_GOOD ? fault : rate_text(text, words);
}

static struct password_verdict judge_text(const struct password_text *text, const struct password_rules *rules,
                                          const struct password_owner *owner)
{
  size_t min = owner->has_second_factor ? rules->min_code_points_with_factor : rules->min_code_points;
  if (!holds_only_text(text))
    return (struct password_verdict){.fault = PASSWORD_NOT_TEXT};
  if (text->code_points < min)
    return (struct password_verdict){.fault = PASSWORD_TOO_SHORT, .found = text->code_points, .bound = min};
  struct words words;
  collect_words(&words, rules, owner);
  struct password_verdict verdict = {.fault = judge_content(text, &words), .found = text->code_points};
  free_words(&words);
  return verdict;
}

struct password_verdict password_judge(struct slice password, const struct password_rules *rules,
                                       const struct password_owner *owner)
{
  struct password_text text;
  struct password_verdict verdict = {0};
  switch (password_normalise(password, &text)) {
  case STATUS_OK:
    verdict = judge_text(&text, rules, owner);
    break;
  case STATUS_OUT_OF_RANGE:
    verdict = (struct password_verdict){PASSWORD_TOO_LONG, text.code_points, PASSWORD_MAX_CODE_POINTS};
    break;
  case STATUS_INVALID_ARGUMENT:
    verdict.fault = password.size == 0 ? PASSWORD_TOO_SHORT : PASSWORD_NOT_TEXT;
    verdict.bound = owner->has_second_factor ? rules->min_code_points_with_factor : rules->min_code_points;
    break;
  default:
    verdict.fault = PASSWORD_UNJUDGED;
    break;
  }
  password_text_erase(&text);
  return verdict;
}

// ---- words for it ----

const char *password_fault_reason(enum password_fault fault)
{
  static const char *const reasons[PASSWORD_FAULT_COUNT] = {
      [PASSWORD_NOT_TEXT] = "PASSWORD_NOT_TEXT", [PASSWORD_TOO_SHORT] = "PASSWORD_TOO_SHORT",
      [PASSWORD_TOO_LONG] = "PASSWORD_TOO_LONG", [PASSWORD_FROM_ACCOUNT] = "PASSWORD_FROM_ACCOUNT",
      [PASSWORD_COMMON] = "PASSWORD_COMMON",     [PASSWORD_GUESSABLE] = "PASSWORD_GUESSABLE",
  };
  return reasons[fault];
}

#define ADVICE "several words that have nothing to do with each other make a good one"

void password_explain(const struct password_verdict *verdict, char out[PASSWORD_EXPLANATION_SIZE])
{
  static const char *const sentences[PASSWORD_FAULT_COUNT] = {
      [PASSWORD_GOOD] = "is good",
      [PASSWORD_NOT_TEXT] =
          "holds a control character, such as a tab, or one that Unicode does not define; leave it out",
      [PASSWORD_FROM_ACCOUNT] =
          "is made of the e-mail address, the name or the product's name, which others know; " ADVICE,
      [PASSWORD_COMMON] = "is among the passwords that are tried first; choose another one: " ADVICE,
      [PASSWORD_GUESSABLE] =
          "is easy to guess: frequent words, names, dates, repetitions or neighbours on the keyboard; " ADVICE,
      [PASSWORD_UNJUDGED] = "could not be judged",
  };
  switch (verdict->fault) {
  case PASSWORD_TOO_SHORT:
    snprintf(out, PASSWORD_EXPLANATION_SIZE, "must be at least %zu characters, and has %zu; " ADVICE, verdict->bound,
             verdict->found);
    return;
  case PASSWORD_TOO_LONG:
    snprintf(out, PASSWORD_EXPLANATION_SIZE, "must be at most %zu characters", verdict->bound);
    return;
  default:
    snprintf(out, PASSWORD_EXPLANATION_SIZE, "%s", sentences[verdict->fault]);
    return;
  }
}
