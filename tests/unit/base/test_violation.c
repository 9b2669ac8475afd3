// The list of what is wrong with a request.
#include <criterion/criterion.h>

#include "common/base/violation.h"

static struct arena arena;
static struct violations violations;

static void setup(void)
{
  arena_init(&arena);
  violations_init(&violations, &arena);
}

static void teardown(void)
{
  arena_free(&arena);
}

TestSuite(violation, .init = setup, .fini = teardown);

Test(violation, twenty_are_kept_and_the_rest_is_counted)
{
  for (size_t i = 0; i < VIOLATIONS_MAX; i++)
    violations_add(&violations, SLICE("sku"), SLICE("is required"));
  cr_assert(violations.count == VIOLATIONS_MAX && violations.more == 0);
  violations_add(&violations, SLICE("name"), SLICE("is required"));
  violations_add(&violations, SLICE("name"), SLICE("is required"));
  cr_assert(violations.count == VIOLATIONS_MAX && violations.more == 2);
  cr_assert(slice_equal(violations.items[VIOLATIONS_MAX - 1].field, SLICE("sku")));
}

Test(violation, texts_are_copies)
{
  char field[] = "sku";
  char description[] = "is required";
  violations_add(&violations, slice_from_string(field), slice_from_string(description));
  field[0] = description[0] = 'x';
  cr_assert(slice_equal(violations.items[0].field, SLICE("sku")));
  cr_assert(slice_equal(violations.items[0].description, SLICE("is required")));
}

Test(violation, long_texts_are_cut)
{
  char text[2000];
  memset(text, 'a', sizeof(text));
  violations_add(&violations, slice_make(text, 256), slice_make(text, 512));
  violations_add(&violations, slice_make(text, sizeof(text)), slice_make(text, sizeof(text)));
  for (size_t i = 0; i < 2; i++) {
    cr_assert_eq(violations.items[i].field.size, 256);
    cr_assert_eq(violations.items[i].description.size, 512);
  }
}

Test(violation, a_cut_splits_no_character)
{
  static const struct {
    size_t at;  // of a character of three bytes
    size_t kept;
  } CASES[] = {{252, 256}, {253, 256}, {254, 254}, {255, 255}, {256, 256}};
  for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
    char text[300];
    memset(text, 'a', sizeof(text));
    memcpy(text + CASES[i].at, "\xe2\x82\xac", 3);
    violations_add(&violations, slice_make(text, sizeof(text)), SLICE("is too long"));
    cr_expect_eq(violations.items[i].field.size, CASES[i].kept, "%zu: %zu", CASES[i].at,
                 violations.items[i].field.size);
  }
}
