#include "common/base/memory.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

Test(memory, a_copied_text_ends_with_a_zero)
{
  char *copy = memory_copy_text(slice_make("keyword", 3));
  cr_assert_str_eq(copy, "key");
  free(copy);
}

Test(memory, no_text_is_copied_to_an_empty_string)
{
  char *copy = memory_copy_text((struct slice){0});
  cr_assert_str_eq(copy, "");
  free(copy);
}

Test(memory, a_copied_string_is_the_callers_own)
{
  char original[] = "key";
  char *copy = memory_copy_string(original);
  original[0] = 'x';
  cr_assert_str_eq(copy, "key");
  free(copy);
  cr_assert_null(memory_copy_string(NULL));
}

// ---- giving back ----

enum { PIECES = 20000, PIECE_BYTES = 1000 };

static char *pieces[PIECES];

static void take_pieces(void)
{
  for (size_t i = 0; i < PIECES; i++) {
    pieces[i] = malloc(PIECE_BYTES);
    cr_assert_not_null(pieces[i]);
    memset(pieces[i], 1, PIECE_BYTES);
  }
}

// Frees all pieces but the last, which keeps the others in the heap.
static void free_pieces(void)
{
  for (size_t i = 0; i + 1 < PIECES; i++)
    free(pieces[i]);
}

static void skip_under_sanitizer(void)
{
#ifdef __SANITIZE_ADDRESS__
  cr_skip_test("the sanitizer's own malloc keeps what is freed");
#endif
}

static void expect_given_back(struct memory_trim *trim, size_t before)
{
  cr_expect(memory_trim_look(trim));
  cr_expect_lt(trim->resident_bytes, before + (size_t)PIECES * PIECE_BYTES / 10, "%zu bytes, and %zu after the burst",
               before, trim->resident_bytes);
  cr_expect_not(memory_trim_look(trim), "there is nothing more to give back");
  free(pieces[PIECES - 1]);
}

Test(memory, what_a_burst_has_left_is_given_back_once)
{
  skip_under_sanitizer();
  struct memory_trim trim = {0};
  memory_keep_freed();
  (void)memory_trim_look(&trim);
  size_t before = trim.resident_bytes;
  take_pieces();
  free_pieces();
  expect_given_back(&trim, before);
}

Test(memory, what_was_in_use_at_one_look_is_given_back_at_the_next)
{
  skip_under_sanitizer();
  struct memory_trim trim = {0};
  memory_keep_freed();
  (void)memory_trim_look(&trim);
  size_t before = trim.resident_bytes;
  take_pieces();
  cr_expect(memory_trim_look(&trim));
  free_pieces();
  expect_given_back(&trim, before);
}
