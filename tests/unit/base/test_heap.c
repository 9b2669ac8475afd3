#include "common/base/heap.h"

#include <criterion/criterion.h>
#include <signal.h>

enum { COUNT = 500 };

static uint64_t next_number(uint64_t *state)
{
  // A fixed sequence: a failure can be repeated.
  *state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
  return *state >> 33;
}

Test(heap, nodes_come_out_in_order)
{
  struct heap heap = {0};
  static struct heap_node nodes[COUNT];
  uint64_t state = 1;
  for (int i = 0; i < COUNT; i++)
    heap_insert(&heap, &nodes[i], next_number(&state) % 100);
  uint64_t before = 0;
  for (int i = 0; i < COUNT; i++) {
    struct heap_node *first = heap_first(&heap);
    cr_assert_geq(first->key, before);
    before = first->key;
    heap_remove(&heap, first);
    cr_assert_eq(first->index, 0);
  }
  cr_assert_null(heap_first(&heap));
  heap_free(&heap);
}

static uint64_t smallest(const struct heap_node *nodes)
{
  uint64_t least = UINT64_MAX;
  for (int i = 0; i < COUNT; i++)
    if (nodes[i].index != 0 && nodes[i].key < least)
      least = nodes[i].key;
  return least;
}

Test(heap, the_first_is_right_after_any_insertion_and_removal)
{
  struct heap heap = {0};
  static struct heap_node nodes[COUNT];
  uint64_t state = 7;
  for (int i = 0; i < 20000; i++) {
    struct heap_node *node = &nodes[next_number(&state) % COUNT];
    if (node->index == 0)
      heap_insert(&heap, node, next_number(&state) % 1000);
    else
      heap_remove(&heap, node);
    if (heap_first(&heap) != NULL)
      cr_assert_eq(heap_first(&heap)->key, smallest(nodes), "step %d", i);
  }
  heap_free(&heap);
}

// Whichever node goes, the one that fills its place may have to move up or down.
Test(heap, the_order_holds_whichever_node_is_removed)
{
  enum { NODES = 40 };
  uint64_t state = 11;
  for (int round = 0; round < 50 * NODES; round++) {
    struct heap heap = {0};
    struct heap_node nodes[NODES] = {0};
    for (int i = 0; i < NODES; i++)
      heap_insert(&heap, &nodes[i], next_number(&state) % 1000);
    heap_remove(&heap, &nodes[round % NODES]);
    uint64_t before = 0;
    while (heap_first(&heap) != NULL) {
      cr_assert_geq(heap_first(&heap)->key, before, "round %d", round);
      before = heap_first(&heap)->key;
      heap_remove(&heap, heap_first(&heap));
    }
    heap_free(&heap);
  }
}

Test(heap, removing_what_is_in_no_heap_does_nothing)
{
  struct heap heap = {0};
  struct heap_node inside = {0};
  struct heap_node outside = {0};
  heap_remove(&heap, &outside);
  heap_insert(&heap, &inside, 5);
  heap_remove(&heap, &outside);
  cr_assert_eq(heap_first(&heap), &inside);
  heap_remove(&heap, &inside);
  heap_remove(&heap, &inside);
  cr_assert_null(heap_first(&heap));
  heap_free(&heap);
}

Test(heap, nodes_can_be_used_again_after_the_heap_is_freed)
{
  struct heap heap = {0};
  struct heap_node node = {0};
  heap_insert(&heap, &node, 1);
  heap_free(&heap);
  heap_insert(&heap, &node, 2);
  cr_assert_eq(heap_first(&heap)->key, 2);
  heap_free(&heap);
}

Test(heap, inserting_a_node_twice_aborts, .signal = SIGABRT)
{
  struct heap heap = {0};
  struct heap_node node = {0};
  heap_insert(&heap, &node, 1);
  heap_insert(&heap, &node, 2);
}
