#include "common/base/hashtable.h"

#include <criterion/criterion.h>
#include <signal.h>

#include "common/base/compiler.h"

enum { COUNT = 1000 };

struct thing {
  int number;
  struct hashtable_node node;
};

static struct thing *thing_of(struct hashtable_node *node)
{
  return node == NULL ? NULL : CONTAINER_OF(node, struct thing, node);
}

// Every second thing shares its hash with the one before it.
static void insert_things(struct hashtable *table, struct thing things[COUNT])
{
  for (int i = 0; i < COUNT; i++) {
    things[i] = (struct thing){.number = i};
    hashtable_insert(table, &things[i].node, (uint64_t)(i / 2));
  }
}

static int count_hash(const struct hashtable *table, uint64_t hash)
{
  int count = 0;
  for (struct hashtable_node *node = hashtable_first(table, hash); node != NULL; node = hashtable_next(node)) {
    cr_assert_eq(thing_of(node)->number / 2, (int)hash);
    count++;
  }
  return count;
}

Test(hashtable, a_zeroed_table_is_empty)
{
  struct hashtable table = {0};
  cr_assert_null(hashtable_first(&table, 0));
  cr_assert_null(hashtable_any(&table, NULL));
  hashtable_free(&table);
}

Test(hashtable, nodes_of_one_hash_are_all_found_also_after_it_has_grown)
{
  static struct thing things[COUNT];
  struct hashtable table = {0};
  insert_things(&table, things);
  cr_assert_eq(table.count, COUNT);
  cr_assert_geq(table.bucket_count, COUNT);
  for (uint64_t hash = 0; hash < COUNT / 2; hash++)
    cr_assert_eq(count_hash(&table, hash), 2);
  cr_assert_null(hashtable_first(&table, COUNT));
  hashtable_free(&table);
}

Test(hashtable, removing_one_of_a_hash_leaves_the_other)
{
  static struct thing things[COUNT];
  struct hashtable table = {0};
  insert_things(&table, things);
  for (int i = 0; i < COUNT; i += 2)
    hashtable_remove(&table, &things[i].node);
  cr_assert_eq(table.count, COUNT / 2);
  for (int i = 0; i < COUNT; i += 2)
    cr_assert_eq(thing_of(hashtable_first(&table, (uint64_t)(i / 2))), &things[i + 1]);
  hashtable_free(&table);
}

Test(hashtable, a_walk_meets_every_node_once)
{
  static struct thing things[COUNT];
  static int met[COUNT];
  struct hashtable table = {0};
  insert_things(&table, things);
  for (struct hashtable_node *node = hashtable_any(&table, NULL); node != NULL; node = hashtable_any(&table, node))
    met[thing_of(node)->number]++;
  for (int i = 0; i < COUNT; i++)
    cr_assert_eq(met[i], 1, "%d", i);
  hashtable_free(&table);
}

Test(hashtable, removing_a_stranger_aborts, .signal = SIGABRT)
{
  struct hashtable table = {0};
  struct thing inside = {0}, stranger = {0};
  hashtable_insert(&table, &inside.node, 1);
  hashtable_remove(&table, &stranger.node);
}
