#include "common/base/memory.h"

#include <criterion/criterion.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
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

static bool is_given_back(struct memory_trim *trim, unsigned looks)
{
  while (looks-- > 0)
    if (memory_trim_look(trim))
      return true;
  return false;
}

// Expects a burst to be given back once two looks have found it free, also where another trim was only just before.
static void expect_given_back(struct memory_trim *trim)
{
  cr_expect(is_given_back(trim, 4));
  cr_expect_lt(trim->base_bytes, (int64_t)PIECES * PIECE_BYTES / 2, "its pages are still there");
  cr_expect_not(is_given_back(trim, 20), "there is nothing more to give back");
  free(pieces[PIECES - 1]);
}

Test(memory, what_a_burst_has_left_is_given_back_once)
{
  skip_under_sanitizer();
  struct memory_trim trim = {0};
  memory_keep_freed();
  (void)memory_trim_look(&trim);
  take_pieces();
  free_pieces();
  expect_given_back(&trim);
}

Test(memory, what_was_in_use_at_one_look_is_given_back_at_later_ones)
{
  skip_under_sanitizer();
  struct memory_trim trim = {0};
  memory_keep_freed();
  take_pieces();
  // What was free before them, and between two, is little beside them.
  (void)is_given_back(&trim, 20);
  cr_expect_not(is_given_back(&trim, 20), "all is in use");
  free_pieces();
  expect_given_back(&trim);
}

Test(memory, what_a_second_burst_took_of_what_was_free_is_given_back_too)
{
  skip_under_sanitizer();
  struct memory_trim trim = {0};
  memory_keep_freed();
  for (int i = 0; i < 3; i++) {
    // To malloc as much is free at each look.
    take_pieces();
    free_pieces();
    expect_given_back(&trim);
  }
}

// ---- threads ----

enum { THREADS = 4 };

static pthread_barrier_t all_have_allocated;

static void *allocate(void *arg)
{
  void *piece = malloc(PIECE_BYTES);
  *(bool *)arg = piece != NULL;
  pthread_barrier_wait(&all_have_allocated);
  free(piece);
  return NULL;
}

static size_t count_arenas(void)
{
  char *told = NULL;
  size_t size = 0, count = 0;
  FILE *file = open_memstream(&told, &size);
  cr_assert_not_null(file);
  cr_assert_eq(malloc_info(0, file), 0);
  fclose(file);
  for (const char *at = told; (at = strstr(at, "<heap nr=")) != NULL; at++)
    count++;
  free(told);
  return count;
}

Test(memory, threads_that_start_later_get_no_arenas_of_their_own)
{
  skip_under_sanitizer();
  pthread_t threads[THREADS];
  bool allocated[THREADS];
  memory_keep_freed();
  size_t before = count_arenas();
  cr_assert_eq(pthread_barrier_init(&all_have_allocated, NULL, THREADS), 0);
  for (size_t i = 0; i < THREADS; i++)
    cr_assert_eq(pthread_create(&threads[i], NULL, allocate, &allocated[i]), 0);
  for (size_t i = 0; i < THREADS; i++) {
    cr_assert_eq(pthread_join(threads[i], NULL), 0);
    cr_expect(allocated[i]);
  }
  cr_expect_eq(count_arenas(), before);
}

// ---- when ----

enum { LOOKS = 1000 };
static const size_t megabyte = 1024 * 1024;

static unsigned count_trims(struct memory_trim *trim, size_t (*find_spare)(unsigned look))
{
  unsigned trims = 0;
  for (unsigned look = 0; look < LOOKS; look++)
    trims += memory_trim_is_due(trim, find_spare(look));
  return trims;
}

static size_t of_steady_load(unsigned look)
{
  return (10 + look % 3) * megabyte;
}

Test(memory, what_a_steady_load_takes_again_is_left_to_it_for_longer_and_longer)
{
  struct memory_trim trim = {0};
  cr_expect_leq(count_trims(&trim, of_steady_load), LOOKS / 4 + 2);
}

static size_t of_load_that_comes_and_goes(unsigned look)
{
  return look % 2 * 10 * megabyte;
}

Test(memory, what_is_in_use_at_every_other_look_is_never_given_back)
{
  struct memory_trim trim = {0};
  cr_expect_eq(count_trims(&trim, of_load_that_comes_and_goes), 0);
}

static size_t of_little(unsigned look)
{
  (void)look;
  return 30 * 1024;
}

Test(memory, little_is_never_given_back)
{
  struct memory_trim trim = {0};
  cr_expect_eq(count_trims(&trim, of_little), 0);
}

static size_t of_some(unsigned look)
{
  (void)look;
  return megabyte / 2;
}

Test(memory, what_is_little_for_a_process_depends_on_its_size)
{
  struct memory_trim large = {.use.anonymous_bytes = 100 * megabyte};
  cr_expect_eq(count_trims(&large, of_some), 0);
  struct memory_trim small = {.use.anonymous_bytes = 3 * megabyte};
  cr_expect_gt(count_trims(&small, of_some), 0);
}

static size_t of_nothing(unsigned look)
{
  (void)look;
  return 0;
}

Test(memory, a_burst_long_after_a_steady_load_is_given_back_at_the_second_look)
{
  struct memory_trim trim = {0};
  (void)count_trims(&trim, of_steady_load);
  cr_expect_eq(count_trims(&trim, of_nothing), 0);
  cr_expect_not(memory_trim_is_due(&trim, megabyte));
  cr_expect(memory_trim_is_due(&trim, megabyte));
  cr_expect_not(memory_trim_is_due(&trim, megabyte));
  cr_expect(memory_trim_is_due(&trim, megabyte), "trims in vain are counted from here");
}
