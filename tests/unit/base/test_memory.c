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

// Takes many small pieces, and frees all but the last, which keeps the others in the heap.
static char *make_burst(void)
{
  static char *pieces[PIECES];
  for (size_t i = 0; i < PIECES; i++) {
    pieces[i] = malloc(PIECE_BYTES);
    cr_assert_not_null(pieces[i]);
    memset(pieces[i], 1, PIECE_BYTES);
  }
  for (size_t i = 0; i + 1 < PIECES; i++)
    free(pieces[i]);
  return pieces[PIECES - 1];
}

Test(memory, what_a_burst_has_left_is_given_back_once)
{
#ifdef __SANITIZE_ADDRESS__
  cr_skip_test("the sanitizer's own malloc keeps what is freed");
#endif
  struct memory_trim trim = {0};
  memory_keep_freed();
  (void)memory_trim_look(&trim);
  size_t before = trim.resident_bytes;
  char *last = make_burst();
  cr_expect(memory_trim_look(&trim));
  cr_expect_lt(trim.resident_bytes, before + PIECES * PIECE_BYTES / 10, "%zu bytes, and %zu after the burst", before,
               trim.resident_bytes);
  cr_expect_not(memory_trim_look(&trim), "there is nothing more to give back");
  free(last);
}
