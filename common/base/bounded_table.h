// A hash table of bounded size for what strangers choose the keys of, such as addresses: entries of one size in sets of
// eight, and a new one takes the place of that of its set which is worth the least. It never grows, and its memory is
// only touched where it is used. Keys are hashes under a random key (hash.h), so an attacker cannot aim at a set.
#ifndef BULKHEAD_BASE_BOUNDED_TABLE_H
#define BULKHEAD_BASE_BOUNDED_TABLE_H

#include <stddef.h>
#include <stdint.h>

// The head of every entry.
struct bounded_entry {
  uint64_t key;    // 0 in an empty place
  uint64_t worth;  // the caller's; BOUNDED_PINNED keeps the entry
};

#define BOUNDED_PINNED UINT64_MAX

struct bounded_table {
  unsigned char *places;
  size_t entry_size;
  size_t set_count;  // a power of two
};

// `capacity` is rounded up to a power of two of at least 8. `entry_size` counts the head, and is a multiple of 8.
void bounded_table_init(struct bounded_table *table, size_t capacity, size_t entry_size);
void bounded_table_free(struct bounded_table *table);

// Returns the entry of a key; NULL where there is none.
void *bounded_table_find(const struct bounded_table *table, uint64_t key);
// Adds an entry for a key that is not in the table: zeroed but for its key. The entry of least worth goes where its set
// is full. NULL where all eight are pinned.
void *bounded_table_add(struct bounded_table *table, uint64_t key);

#endif
