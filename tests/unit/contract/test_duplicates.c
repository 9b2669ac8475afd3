// Values that repeat in a list, whatever its length and order.
#include <criterion/criterion.h>

#include "common/contract/duplicates.h"

// More than any list that is compared pair by pair.
#define MANY 100

static struct arena arena;

static void setup(void)
{
  arena_init(&arena);
}

static void teardown(void)
{
  arena_free(&arena);
}

TestSuite(duplicates, .init = setup, .fini = teardown);

static void expect_first(const struct slice *items, size_t count, size_t expected)
{
  size_t found = find_duplicate(items, count, &arena);
  cr_expect_eq(found, expected, "%zu instead of %zu of %zu", found, expected, count);
}

// Makes `count` different values of one to three bytes, in no order.
static struct slice *make_items(size_t count)
{
  struct slice *items = arena_array(&arena, count, sizeof(*items));
  for (size_t i = 0; i < count; i++)
    items[i] = slice_from_string(arena_printf(&arena, "%zu", i * 37 % 101));
  return items;
}

Test(duplicates, values_that_all_differ_have_none)
{
  for (size_t count = 0; count <= MANY; count++)
    expect_first(make_items(count), count, count);
}

Test(duplicates, a_value_that_repeats_is_found_wherever_it_stands)
{
  static const size_t COUNTS[] = {2, 3, 16, 17, MANY};
  for (size_t k = 0; k < ARRAY_LEN(COUNTS); k++)
    for (size_t second = 1; second < COUNTS[k]; second++)
      for (size_t first = 0; first < second; first++) {
        struct slice *items = make_items(COUNTS[k]);
        items[second] = items[first];
        expect_first(items, COUNTS[k], second);
      }
}

Test(duplicates, the_first_item_that_repeats_another_is_the_one)
{
  static const size_t COUNTS[] = {8, MANY};
  for (size_t k = 0; k < ARRAY_LEN(COUNTS); k++) {
    struct slice *items = make_items(COUNTS[k]);
    items[7] = items[0];
    items[5] = items[4];
    items[6] = items[1];
    expect_first(items, COUNTS[k], 5);
    // The second of three equal items is the first that repeats one.
    items[4] = items[2];
    items[5] = items[2];
    expect_first(items, COUNTS[k], 4);
  }
}

Test(duplicates, a_value_is_all_of_its_bytes)
{
  for (size_t count = 4; count <= MANY; count += MANY - 4) {
    struct slice *items = make_items(count);
    items[1] = SLICE("same\0a");
    items[2] = SLICE("same\0b");
    items[3] = SLICE("same");
    expect_first(items, count, count);
    items[0] = SLICE("same\0b");
    expect_first(items, count, 2);
  }
}

Test(duplicates, empty_values_are_equal)
{
  for (size_t count = 4; count <= MANY; count += MANY - 4) {
    struct slice *items = make_items(count);
    items[1] = SLICE("");
    expect_first(items, count, count);
    items[3] = (struct slice){0};
    expect_first(items, count, 3);
  }
}

// What stands behind a list belongs to somebody else.
Test(duplicates, items_behind_the_list_do_not_count)
{
  static const size_t COUNTS[] = {3, 16, 17, MANY - 1};
  for (size_t k = 0; k < ARRAY_LEN(COUNTS); k++) {
    struct slice *items = make_items(MANY);
    items[COUNTS[k]] = items[0];
    expect_first(items, COUNTS[k], COUNTS[k]);
  }
}
