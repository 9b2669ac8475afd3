// A circular doubly linked intrusive list. The list and its nodes are of one type; list_init makes each an empty list.
#ifndef BULKHEAD_BASE_LIST_H
#define BULKHEAD_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
  struct list *next;
  struct list *previous;
};

static inline void list_init(struct list *list)
{
  list->next = list;
  list->previous = list;
}

static inline bool list_empty(const struct list *list)
{
  return list->next == list;
}

// Adds a node at the end of the list. The node must be in no list.
static inline void list_append(struct list *list, struct list *node)
{
  node->previous = list->previous;
  node->next = list;
  list->previous->next = node;
  list->previous = node;
}

// Removes the node from its list. It is an empty list of its own afterwards, so removing it again does nothing.
static inline void list_remove(struct list *node)
{
  node->previous->next = node->next;
  node->next->previous = node->previous;
  list_init(node);
}

// Moves all nodes of a list to the end of another. Returns how many.
static inline size_t list_move_all(struct list *from, struct list *to)
{
  size_t count = 0;
  for (; !list_empty(from); count++) {
    struct list *node = from->next;
    list_remove(node);
    list_append(to, node);
  }
  return count;
}

#endif
