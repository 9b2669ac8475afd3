// What is being changed: announcements, each with its keys, in a list for each instance, and one table of all keys.
#ifndef BULKHEAD_STORAGE_CACHE_ANNOUNCEMENT_INTERNAL_H
#define BULKHEAD_STORAGE_CACHE_ANNOUNCEMENT_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/hashtable.h"
#include "common/base/list.h"
#include "common/base/slice.h"

// Keys that an instance is about to change, announced as one line.
struct cache_announcement {
  struct list node;
  uint64_t sequence;
  uint64_t published_us;  // when this instance's was known to be committed; 0 before
  uint64_t ends_us;       // when one of unknown outcome ends; 0 for the others
  bool is_old;            // another one's: of before the channel was lost, and not announced again
  bool queued;            // this instance's: somebody may have heard of it
  struct list keys;       // struct changing_key
};

// One key of an announcement.
struct changing_key {
  struct hashtable_node node;
  struct list sibling;
  bool crossed;  // another change of the key was announced while this one was, or this instance may have missed one
  size_t size;
  char bytes[];
};

// Makes an announcement without keys, at its place in the list, which is in the order of the sequences.
struct cache_announcement *cache_announcement_create(struct list *list, uint64_t sequence);
// Adds a copy of the key to the announcement and to the table. All announcements of a key that are there at the same
// time are crossed.
void cache_announcement_add(struct hashtable *changing, struct cache_announcement *announcement, struct slice key);
// Returns the one with this sequence, or NULL.
struct cache_announcement *cache_announcement_find(struct list *list, uint64_t sequence);
// Frees those from sequence `first` to `last`, and takes their keys out of the table.
void cache_announcements_end(struct hashtable *changing, struct list *list, uint64_t first, uint64_t last);
// Frees those that are old.
void cache_announcements_end_old(struct hashtable *changing, struct list *list);
// Crosses all announcements of the list, because others may have been missed.
void cache_announcements_cross(struct list *list);
// Tells whether the announcement has one key, which no other change has crossed.
bool cache_announcement_is_lone(const struct cache_announcement *announcement);
// Tells whether the table holds the key. `hash` is its hash_bytes.
bool cache_announcements_have(const struct hashtable *changing, struct slice key, uint64_t hash);

#endif
