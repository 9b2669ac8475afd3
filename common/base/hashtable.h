// An intrusive hash table with chains: the node is a member of the caller's struct, found with CONTAINER_OF. The table
// owns its array of buckets only; nodes belong to the caller and must stay in place while they are in the table. Hashes
// come from hash.h. Not thread-safe.
#ifndef BULKHEAD_BASE_HASHTABLE_H
#define BULKHEAD_BASE_HASHTABLE_H

#include <stddef.h>
#include <stdint.h>

struct hashtable_node {
  struct hashtable_node *next;  // private: the next node in the same bucket
  uint64_t hash;                // the hash of the key, set by hashtable_insert
};

// A zeroed table is ready and empty.
struct hashtable {
  struct hashtable_node **buckets;
  size_t bucket_count;  // a power of two, or 0; doubled when there are as many nodes
  size_t count;         // nodes in the table
};

// Frees the buckets and empties the table; the nodes themselves are not touched.
void hashtable_free(struct hashtable *table);

// Adds a node. Nodes of equal keys may stand beside each other; which one is found first is not defined.
void hashtable_insert(struct hashtable *table, struct hashtable_node *node, uint64_t hash);
// Removes a node that is in the table (CHECK).
void hashtable_remove(struct hashtable *table, struct hashtable_node *node);

// Returns the first node with this hash; NULL when there is none. The caller compares the keys.
struct hashtable_node *hashtable_first(const struct hashtable *table, uint64_t hash);
// Returns the next node with the same hash; NULL at the end. `node` may be removed from the table afterwards.
struct hashtable_node *hashtable_next(const struct hashtable_node *node);

// Walks all nodes, in no particular order: hashtable_any(table, NULL) returns the first one, hashtable_any(table, node)
// the one after `node`; NULL at the end. A walk that removes nodes asks for the next one first.
struct hashtable_node *hashtable_any(const struct hashtable *table, const struct hashtable_node *after);

#endif
