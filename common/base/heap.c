// A binary heap in an array; each node knows its place, so that it can be taken out from anywhere.
#include "common/base/heap.h"

#include <stdlib.h>

#include "common/base/check.h"

#define FIRST_CAPACITY 16

void heap_free(struct heap *heap)
{
  // The nodes belong to the callers, so they are only marked as in no heap.
  for (size_t i = 0; i < heap->count; i++)
    heap->nodes[i]->index = 0;
  free(heap->nodes);
  *heap = (struct heap){0};
}

static void put_node(struct heap *heap, size_t place, struct heap_node *node)
{
  heap->nodes[place] = node;
  node->index = place + 1;
}

// Moves a hole at `place` towards the root until the node fits in.
static void sift_up(struct heap *heap, size_t place, struct heap_node *node)
{
  while (place > 0) {
    size_t parent = (place - 1) / 2;
    if (heap->nodes[parent]->key <= node->key)
      break;
    put_node(heap, place, heap->nodes[parent]);
    place = parent;
  }
  put_node(heap, place, node);
}

static void sift_down(struct heap *heap, size_t place, struct heap_node *node)
{
  for (;;) {
    size_t child = 2 * place + 1;
    if (child >= heap->count)
      break;
    if (child + 1 < heap->count && heap->nodes[child + 1]->key < heap->nodes[child]->key)
      child++;
    if (node->key <= heap->nodes[child]->key)
      break;
    put_node(heap, place, heap->nodes[child]);
    place = child;
  }
  put_node(heap, place, node);
}

void heap_insert(struct heap *heap, struct heap_node *node, uint64_t key)
{
  CHECK(node->index == 0);
  if (heap->count == heap->capacity) {
    size_t capacity = heap->capacity == 0 ? FIRST_CAPACITY : heap->capacity * 2;
    struct heap_node **nodes = reallocarray(heap->nodes, capacity, sizeof(struct heap_node *));
    CHECK(nodes != NULL);
    heap->nodes = nodes;
    heap->capacity = capacity;
  }
  node->key = key;
  sift_up(heap, heap->count++, node);
}

void heap_remove(struct heap *heap, struct heap_node *node)
{
  if (node->index == 0)
    return;
  size_t place = node->index - 1;
  CHECK(place < heap->count && heap->nodes[place] == node);
  node->index = 0;
  struct heap_node *last = heap->nodes[--heap->count];
  if (last == node)
    return;
  // The last node fills the hole; it may be smaller than the hole's parent or bigger than its children.
  if (place > 0 && last->key < heap->nodes[(place - 1) / 2]->key)
    sift_up(heap, place, last);
  else
    sift_down(heap, place, last);
}
