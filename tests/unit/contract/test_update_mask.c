// Masks of updates: what each means for a field and for the message below it.
#include <criterion/criterion.h>

#include "common/contract/update_mask.h"

static struct arena arena;

static void setup(void)
{
  arena_init(&arena);
}

static void teardown(void)
{
  arena_free(&arena);
}

TestSuite(update_mask, .init = setup, .fini = teardown);

static const struct slice PATHS[] = {SLICE_INIT("name"), SLICE_INIT("owner.name"), SLICE_INIT("owner.home.city"),
                                     SLICE_INIT("*")};

static struct update_mask enter(const struct update_mask *mask, const char *name)
{
  return update_mask_enter(mask, slice_from_string(name), false, &arena);
}

Test(update_mask, a_star_among_the_paths_means_everything)
{
  cr_expect_eq(update_mask_make(PATHS, 4).kind, MASK_ALL);
  cr_expect_eq(update_mask_make(PATHS + 3, 1).kind, MASK_ALL);
  cr_expect_eq(update_mask_make(PATHS, 3).kind, MASK_PATHS, "the star stands behind the list");
  cr_expect_eq(update_mask_make(PATHS, 0).kind, MASK_PATHS);
}

Test(update_mask, paths_lead_to_the_fields_that_they_name)
{
  struct update_mask mask = update_mask_make(PATHS, 3);
  cr_expect_eq(enter(&mask, "name").kind, MASK_ALL);
  cr_expect_eq(enter(&mask, "size").kind, MASK_LEFT_OUT);
  cr_expect_eq(enter(&mask, "nam").kind, MASK_LEFT_OUT);
  cr_expect_eq(enter(&mask, "names").kind, MASK_LEFT_OUT);
  cr_expect_eq(enter(&mask, "city").kind, MASK_LEFT_OUT);
}

Test(update_mask, paths_below_a_field_go_on_inside_it)
{
  struct update_mask mask = update_mask_make(PATHS, 3);
  struct update_mask owner = enter(&mask, "owner");
  cr_assert_eq(owner.kind, MASK_PATHS);
  cr_expect_eq(owner.count, 2);
  cr_expect_eq(enter(&owner, "name").kind, MASK_ALL);
  cr_expect_eq(enter(&owner, "owner").kind, MASK_LEFT_OUT);
  struct update_mask home = enter(&owner, "home");
  cr_assert_eq(home.kind, MASK_PATHS);
  cr_expect_eq(enter(&home, "city").kind, MASK_ALL);
  cr_expect_eq(enter(&home, "street").kind, MASK_LEFT_OUT);
}

Test(update_mask, a_field_that_is_named_as_a_whole_is_written_as_a_whole)
{
  const struct slice paths[] = {SLICE("owner.name"), SLICE("owner"), SLICE("owner.home")};
  struct update_mask mask = update_mask_make(paths, 3);
  cr_expect_eq(enter(&mask, "owner").kind, MASK_ALL);
}

Test(update_mask, an_immutable_field_is_never_written)
{
  static const enum mask_kind KINDS[] = {MASK_ALL, MASK_GIVEN, MASK_PATHS, MASK_LEFT_OUT};
  for (size_t i = 0; i < ARRAY_LEN(KINDS); i++) {
    struct update_mask mask = {.kind = KINDS[i], .paths = PATHS, .count = 3};
    cr_expect_eq(update_mask_enter(&mask, SLICE("name"), true, &arena).kind, MASK_LEFT_OUT);
  }
  // What is no update may set it.
  struct update_mask none = {.kind = MASK_NONE};
  cr_expect_eq(update_mask_enter(&none, SLICE("name"), true, &arena).kind, MASK_NONE);
}

Test(update_mask, other_masks_hold_for_all_that_is_below)
{
  static const enum mask_kind KINDS[] = {MASK_NONE, MASK_ALL, MASK_GIVEN, MASK_LEFT_OUT};
  for (size_t i = 0; i < ARRAY_LEN(KINDS); i++) {
    struct update_mask mask = {.kind = KINDS[i]};
    cr_expect_eq(enter(&mask, "name").kind, KINDS[i]);
  }
}

Test(update_mask, only_paths_and_given_fields_name_a_field)
{
  struct update_mask paths = update_mask_make(PATHS, 3);
  cr_expect(update_mask_names(&paths, SLICE("name"), false));
  cr_expect(update_mask_names(&paths, SLICE("owner"), false));
  cr_expect_not(update_mask_names(&paths, SLICE("own"), true));
  cr_expect_not(update_mask_names(&paths, SLICE("*"), true), "it stands behind the list");
  struct update_mask given = {.kind = MASK_GIVEN};
  cr_expect(update_mask_names(&given, SLICE("name"), true));
  cr_expect_not(update_mask_names(&given, SLICE("name"), false));
  struct update_mask all = {.kind = MASK_ALL};
  cr_expect_not(update_mask_names(&all, SLICE("name"), true));
}
