// A binary min-heap of intrusive nodes, for deadlines: insert and remove in O(log n), the earliest in O(1).
#ifndef BULKHEAD_BASE_HEAP_H
#define BULKHEAD_BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_node {
  uint64_t key;
  size_t index;  // private: place + 1; 0 when in no heap
};

struct heap {
  struct heap_node **nodes;
  size_t count;
  size_t capacity;
};

// Frees the heap's array and empties the heap; the nodes are marked as in no heap. A zeroed heap is ready and empty.
void heap_free(struct heap *heap);
// Inserts a node that is in no heap.
void heap_insert(struct heap *heap, struct heap_node *node, uint64_t key);
// Removes the node; does nothing for one that is in no heap.
void heap_remove(struct heap *heap, struct heap_node *node);
// Returns the smallest node, NULL for an empty heap.
static inline struct heap_node *heap_first(const struct heap *heap)
{
  return heap->count == 0 ? NULL : heap->nodes[0];
}

#endif
