#include <criterion/criterion.h>
#include <string.h>

#include "common/base/plain_text.h"

Test(plain_text, is_what_people_see)
{
  static const char *const plain[] = {
      "", "Ada Lovelace", "Ren\xc3\xa9", "\xd0\x90\xd0\xb4\xd0\xb0", "\xe5\xbc\xa0", "\xf0\x9f\x98\x80"};
  // NOLINTBEGIN(misc-misleading-bidirectional): that is what this is about
  static const char *const hidden[] = {
      "a\tb",          "a\x7f",         "a\xc2\x85",     "a\xc2\xad",          // control characters, a soft hyphen
      "a\xe2\x80\x8b", "a\xe2\x80\x8f", "a\xe2\x80\xae", "a\xe2\x81\xa6",      // no width, and other directions
      "a\xef\xbb\xbf", "\xe3\x85\xa4",  "a\xef\xb8\x8f", "a\xf3\xa0\x80\x81",  // no-break, fillers, variants, tags
      "\u2800",        "a\U0001D173",   "\U00013441",    "a\U0001BCA0"};       // blanks and signs of layout
  // NOLINTEND(misc-misleading-bidirectional)
  for (size_t i = 0; i < sizeof(plain) / sizeof(*plain); i++)
    cr_expect(plain_text_check(slice_from_string(plain[i])), "%zu", i);
  for (size_t i = 0; i < sizeof(hidden) / sizeof(*hidden); i++)
    cr_expect_not(plain_text_check(slice_from_string(hidden[i])), "%zu", i);
}

Test(plain_text, may_join_letters_and_emoji)
{
  static const char *const plain[] = {
      "\u0645\u06CC\u200C\u062E\u0648\u0627\u0647\u0645",  // Persian: the prefix does not join
      "\u0DC1\u0DCA\u200D\u0DBB\u0DD3",                    // Sinhala "Sri"
      "\u0D05\u0D35\u0D28\u0D4D\u200D",                    // Malayalam: a last consonant by a virama and a joiner
      "\u09B0\u200D\u09CD\u09AF\u09BE\u09AC",              // Bengali: the joiner before the virama
      "\u0915\u094D\u200C\u0937",                          // Devanagari: no ligature
      "Ada \u2764\uFE0F",                                  // a red heart
      "\U0001F469\u200D\U0001F680",                        // an astronaut
      "\U0001F469\U0001F3FD\u200D\U0001F680",              // with a tone of skin
      "\U0001F468\u200D\U0001F469\u200D\U0001F467",        // a family
      "\U0001F3F3\uFE0F\u200D\U0001F308",                  // a flag
      "\u2764\uFE0F\u200D\U0001F525",                      // a heart on fire
      "1\uFE0F\u20E3",                                     // a keycap
  };
  static const char *const hidden[] = {
      "a\u200Cb",
      "a\u200Db",
      "\u200Cb",
      "b\u200D",
      "a\u200D\u2764",
      "\u2764\u200Da",
      "\u0645\u200C",
      "\u200C\u0645",  // nothing to keep apart
      "\u0627\u200C\u0645",
      "\u0645\u200Ca",  // an alef never joins what follows, a Latin letter never
      "\u0645\u200C\u200C\u0645",
      "\u0645\u200D\u0645",  // once is enough; they join without
      "\u0915\u200C\u0937",
      "\u0915\u094D\u200C",  // no virama, nothing behind it
      "\u0915\u094D\u200D\u200D\u0937",
      "\u2764\uFE0F\uFE0F",
      "1\uFE0F",
      "1\uFE0Fa",
      "\uFE0F\u20E3",
      "\u2764\u200D\u200D\u2764",
      "\u2764\u200D",
      "\u2764\uFE0E",
  };
  for (size_t i = 0; i < sizeof(plain) / sizeof(*plain); i++)
    cr_expect(plain_text_check(slice_from_string(plain[i])), "plain %zu", i);
  for (size_t i = 0; i < sizeof(hidden) / sizeof(*hidden); i++)
    cr_expect_not(plain_text_check(slice_from_string(hidden[i])), "hidden %zu", i);
}

// Texts of four of these, each cut at every length.
Test(plain_text, is_plain_once_copied)
{
  static const char *const parts[] = {"a",      "1",      "\u0627",     "\u0645", "\u0915", "\u094D", "\u2764",
                                      "\u200B", "\u20E3", "\U0001F3FD", "\u200C", "\u200D", "\uFE0F"};
  enum { PARTS = sizeof(parts) / sizeof(*parts), DEPTH = 4 };
  size_t total = 1;
  for (size_t i = 0; i < DEPTH; i++)
    total *= PARTS;
  char bytes[DEPTH * 4];
  for (size_t number = 0; number < total; number++) {
    size_t size = 0;
    size_t digits = number;
    for (size_t i = 0; i < DEPTH; i++, digits /= PARTS) {
      struct slice part = slice_from_string(parts[digits % PARTS]);
      memcpy(bytes + size, part.data, part.size);
      size += part.size;
    }
    struct slice text = slice_make(bytes, size);
    bool is_plain = plain_text_check(text);
    for (size_t most = 1; most <= DEPTH; most++) {
      char out[DEPTH * 4];
      struct slice copy = slice_make(out, plain_text_copy(text, most, out));
      if (!plain_text_check(copy))
        cr_assert_fail(SLICE_FMT " is not plain, cut at %zu", SLICE_ARG(text), most);
      if (most == DEPTH && is_plain != slice_equal(copy, text))
        cr_assert_fail(SLICE_FMT " is plain and copied otherwise, or the other way round", SLICE_ARG(text));
    }
  }
}

Test(plain_text, is_copied_without_the_rest_and_no_further_than_told)
{
  char out[16];
  // NOLINTNEXTLINE(misc-misleading-bidirectional)
  size_t size = plain_text_copy(slice_from_string("a\xe2\x80\xae"
                                                  "b\xc3\xa9"
                                                  "cd"),
                                4, out);
  cr_assert_eq(size, 5);
  cr_expect_arr_eq(out,
                   "ab\xc3\xa9"
                   "c",
                   5);
}
