#include "common/base/arena.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>

Test(arena, memory_is_aligned_separate_and_writable)
{
  struct arena arena = {0};
  enum { COUNT = 2000 };
  unsigned char *pieces[COUNT];
  size_t sizes[COUNT];
  for (size_t i = 0; i < COUNT; i++) {
    // From nothing to several blocks, mixed.
    sizes[i] = i % 97 == 0 ? 20000 + i : i % 131;
    pieces[i] = arena_alloc(&arena, sizes[i]);
    cr_assert_eq((uintptr_t)pieces[i] % _Alignof(max_align_t), 0);
    memset(pieces[i], (int)(i % 251), sizes[i]);
  }
  for (size_t i = 0; i < COUNT; i++)
    for (size_t j = 0; j < sizes[i]; j++)
      cr_assert_eq(pieces[i][j], i % 251, "piece %zu was written over", i);
  arena_free(&arena);
}

Test(arena, size_0_gives_pointers_of_their_own)
{
  struct arena arena = {0};
  const void *first = arena_alloc(&arena, 0);
  const void *second = arena_alloc(&arena, 0);
  cr_assert_not_null(first);
  cr_assert_neq(first, second);
  cr_assert_eq(arena_copy(&arena, slice_make(NULL, 0)).size, 0);
  arena_free(&arena);
}

Test(arena, zeroed_memory_is_zero_also_when_it_was_used_before)
{
  struct arena arena = {0};
  memset(arena_alloc(&arena, 1000), 0xAA, 1000);
  arena_reset(&arena);
  const unsigned char *again = arena_zalloc(&arena, 1000);
  for (size_t i = 0; i < 1000; i++)
    cr_assert_eq(again[i], 0);
  arena_free(&arena);
}

Test(arena, a_big_piece_does_not_waste_the_rest_of_the_block)
{
  struct arena arena = {0};
  arena_alloc(&arena, 16);
  size_t before = arena.allocated_bytes;
  arena_alloc(&arena, 100000);
  size_t with_big = arena.allocated_bytes;
  cr_assert_geq(with_big, before + 100000);
  arena_alloc(&arena, 16);
  cr_assert_eq(arena.allocated_bytes, with_big, "the small piece still fits in the first block");
  arena_free(&arena);
}

Test(arena, reset_keeps_one_standard_block_and_gives_back_the_rest)
{
  struct arena arena = {0};
  arena_alloc(&arena, 16);
  size_t standard = arena.allocated_bytes;
  for (int i = 0; i < 100; i++)
    arena_alloc(&arena, 1000);
  arena_alloc(&arena, 1000000);
  cr_assert_gt(arena.allocated_bytes, 1000000);
  arena_reset(&arena);
  cr_assert_eq(arena.allocated_bytes, standard);
  arena_alloc(&arena, 16);
  cr_assert_eq(arena.allocated_bytes, standard, "the kept block is used");
  arena_free(&arena);
  cr_assert_eq(arena.allocated_bytes, 0);
}

Test(arena, reset_of_an_arena_with_only_a_big_block_frees_it)
{
  struct arena arena = {0};
  arena_alloc(&arena, 1000000);
  arena_reset(&arena);
  cr_assert_eq(arena.allocated_bytes, 0);
  memset(arena_alloc(&arena, 10), 1, 10);
  arena_free(&arena);
}

Test(arena, an_empty_arena_is_freed_and_reset_without_harm)
{
  struct arena arena;
  arena_init(&arena);
  arena_reset(&arena);
  arena_free(&arena);
  arena_free(&arena);
  cr_assert_eq(arena.allocated_bytes, 0);
}

static char order[16];
static size_t order_count;

static void note(void *arg)
{
  order[order_count++] = *(const char *)arg;
}

Test(arena, cleanups_run_last_first_and_once)
{
  struct arena arena = {0};
  arena_on_free(&arena, note, "a");
  arena_on_free(&arena, note, "b");
  arena_reset(&arena);
  cr_assert_arr_eq(order, "ba", 2);
  cr_assert_eq(order_count, 2);
  arena_on_free(&arena, note, "c");
  arena_free(&arena);
  arena_free(&arena);
  cr_assert_eq(order_count, 3);
  cr_assert_eq(order[2], 'c');
}

static void read_own_memory(void *arg)
{
  cr_assert_str_eq(arg, "still here");
  order_count++;
}

Test(arena, cleanups_see_the_memory_of_the_arena)
{
  struct arena arena = {0};
  char *text = arena_string(&arena, SLICE("still here"));
  arena_on_free(&arena, read_own_memory, text);
  for (int i = 0; i < 50; i++)
    arena_alloc(&arena, 1000);
  arena_free(&arena);
  cr_assert_eq(order_count, 1);
}

static void register_another(void *arg)
{
  note("1");
  arena_on_free(arg, note, "2");
}

Test(arena, a_cleanup_may_register_another)
{
  struct arena arena = {0};
  arena_on_free(&arena, note, "3");
  arena_on_free(&arena, register_another, &arena);
  arena_free(&arena);
  cr_assert_eq(order_count, 3);
  cr_assert_arr_eq(order, "123", 3);
  cr_assert_eq(arena.allocated_bytes, 0);
}

Test(arena, strings_are_copied_and_terminated)
{
  struct arena arena = {0};
  char source[] = "abc";
  char *copy = arena_string(&arena, slice_make(source, 2));
  struct slice bytes = arena_copy(&arena, SLICE("x\0y"));
  source[0] = 'X';
  cr_assert_str_eq(copy, "ab");
  cr_assert(slice_equal(bytes, SLICE("x\0y")));
  cr_assert_str_eq(arena_string(&arena, slice_make(NULL, 0)), "");
  arena_free(&arena);
}

Test(arena, printf_takes_any_length)
{
  struct arena arena = {0};
  for (int width = 250; width < 262; width++) {
    const char *text = arena_printf(&arena, "%*d|", width, 7);
    cr_assert_eq(strlen(text), (size_t)width + 1);
    cr_assert_eq(text[width - 1], '7');
    cr_assert_eq(text[width], '|');
  }
  cr_assert_eq(strlen(arena_printf(&arena, "%*d", 100000, 1)), 100000);
  cr_assert_str_eq(arena_printf(&arena, "%s", ""), "");
  arena_free(&arena);
}

Test(arena, an_array_whose_size_overflows_aborts, .signal = SIGABRT)
{
  struct arena arena = {0};
  volatile size_t count = SIZE_MAX / 8 + 2;
  arena_array(&arena, count, 8);
}

static void use_blocks(size_t count)
{
  struct arena arenas[20];
  cr_assert_leq(count, sizeof(arenas) / sizeof(arenas[0]));
  for (size_t i = 0; i < count; i++) {
    arena_init(&arenas[i]);
    (void)arena_alloc(&arenas[i], 1);
  }
  for (size_t i = 0; i < count; i++)
    arena_free(&arenas[i]);
}

Test(arena, blocks_that_were_not_needed_since_the_last_trim_are_freed)
{
#ifdef __SANITIZE_ADDRESS__
  cr_skip_test("no block is kept, so that the sanitizer sees every use after free");
#endif
  (void)arena_trim_spare();
  (void)arena_trim_spare();
  use_blocks(20);
  cr_expect_eq(arena_trim_spare(), 0, "all were needed");
  use_blocks(5);
  size_t freed = arena_trim_spare();
  cr_expect_gt(freed, 0);
  use_blocks(1);
  cr_expect_eq(15 * arena_trim_spare(), 4 * freed, "15 blocks were freed before, and 4 now");
  cr_expect_eq(15 * arena_trim_spare(), freed, "1 block is left");
  cr_expect_eq(arena_trim_spare(), 0);
}
