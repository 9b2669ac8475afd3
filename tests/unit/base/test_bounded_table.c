#include <criterion/criterion.h>

#include "common/base/bounded_table.h"

struct entry {
  struct bounded_entry head;
  uint64_t value;
};

static struct bounded_table table;

static void setup(void)
{
  bounded_table_init(&table, 8, sizeof(struct entry));
}

static void teardown(void)
{
  bounded_table_free(&table);
}

TestSuite(bounded_table, .init = setup, .fini = teardown);

static void fill(uint64_t worth)
{
  for (uint64_t key = 1; key <= 8; key++) {
    struct entry *entry = bounded_table_add(&table, key * 64);
    cr_assert_not_null(entry);
    entry->head.worth = worth + key;
    entry->value = key;
  }
}

Test(bounded_table, finds_what_was_added)
{
  fill(0);
  for (uint64_t key = 1; key <= 8; key++) {
    const struct entry *entry = bounded_table_find(&table, key * 64);
    cr_assert_not_null(entry);
    cr_assert_eq(entry->value, key);
  }
  cr_assert_null(bounded_table_find(&table, 9 * 64));
}

Test(bounded_table, a_new_entry_takes_the_place_of_the_least_worth)
{
  fill(100);
  ((struct entry *)bounded_table_find(&table, 5 * 64))->head.worth = 1;
  struct entry *added = bounded_table_add(&table, 9 * 64);
  cr_assert_not_null(added);
  cr_assert_eq(added->value, 0, "the entry holds what another has left");
  cr_assert_null(bounded_table_find(&table, 5 * 64));
  cr_assert_not_null(bounded_table_find(&table, 4 * 64));
}

Test(bounded_table, pinned_entries_stay)
{
  fill(100);
  for (uint64_t key = 1; key <= 7; key++)
    ((struct entry *)bounded_table_find(&table, key * 64))->head.worth = BOUNDED_PINNED;
  struct entry *added = bounded_table_add(&table, 9 * 64);
  cr_assert_not_null(added);
  cr_assert_null(bounded_table_find(&table, 8 * 64));
  added->head.worth = BOUNDED_PINNED;
  cr_assert_null(bounded_table_add(&table, 10 * 64));
}

Test(bounded_table, a_hash_of_zero_is_a_key)
{
  cr_assert_null(bounded_table_find(&table, 0));
  cr_assert_not_null(bounded_table_add(&table, 0));
  cr_assert_not_null(bounded_table_find(&table, 0));
}
