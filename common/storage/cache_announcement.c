#include "common/storage/cache_announcement_internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/compiler.h"
#include "common/base/hash.h"

// Returns the node behind the last announcement with a smaller sequence. The search begins with the latest, because
// that is mostly the one.
static struct list *find_place(struct list *list, uint64_t sequence)
{
  struct list *node = list->previous;
  while (node != list && CONTAINER_OF(node, struct cache_announcement, node)->sequence >= sequence)
    node = node->previous;
  return node->next;
}

struct cache_announcement *cache_announcement_create(struct list *list, uint64_t sequence)
{
  struct cache_announcement *announcement = calloc(1, sizeof(*announcement));
  CHECK(announcement != NULL);
  announcement->sequence = sequence;
  list_init(&announcement->keys);
  list_append(find_place(list, sequence), &announcement->node);
  return announcement;
}

static struct changing_key *find_key(const struct hashtable *changing, struct slice key, uint64_t hash)
{
  for (struct hashtable_node *node = hashtable_first(changing, hash); node != NULL; node = hashtable_next(node)) {
    struct changing_key *found = CONTAINER_OF(node, struct changing_key, node);
    if (slice_equal(slice_make(found->bytes, found->size), key))
      return found;
  }
  return NULL;
}

void cache_announcement_add(struct hashtable *changing, struct cache_announcement *announcement, struct slice key)
{
  uint64_t hash = hash_bytes(key);
  struct changing_key *added = malloc(sizeof(*added) + key.size);
  CHECK(added != NULL);
  // Where several are there already, they have crossed each other.
  struct changing_key *other = find_key(changing, key, hash);
  if (other != NULL)
    other->crossed = true;
  *added = (struct changing_key){.crossed = other != NULL, .size = key.size};
  if (key.size > 0)
    memcpy(added->bytes, key.data, key.size);
  hashtable_insert(changing, &added->node, hash);
  list_append(&announcement->keys, &added->sibling);
}

static void free_announcement(struct hashtable *changing, struct cache_announcement *announcement)
{
  while (!list_empty(&announcement->keys)) {
    struct changing_key *key = CONTAINER_OF(announcement->keys.next, struct changing_key, sibling);
    list_remove(&key->sibling);
    hashtable_remove(changing, &key->node);
    free(key);
  }
  list_remove(&announcement->node);
  free(announcement);
}

void cache_announcements_end(struct hashtable *changing, struct list *list, uint64_t first, uint64_t last)
{
  for (struct list *node = list->previous, *previous = node->previous; node != list;
       node = previous, previous = node->previous) {
    struct cache_announcement *announcement = CONTAINER_OF(node, struct cache_announcement, node);
    if (announcement->sequence < first)
      return;
    if (announcement->sequence <= last)
      free_announcement(changing, announcement);
  }
}

void cache_announcements_end_old(struct hashtable *changing, struct list *list)
{
  for (struct list *node = list->next, *next = node->next; node != list; node = next, next = node->next) {
    struct cache_announcement *announcement = CONTAINER_OF(node, struct cache_announcement, node);
    if (announcement->is_old)
      free_announcement(changing, announcement);
  }
}

struct cache_announcement *cache_announcement_find(struct list *list, uint64_t sequence)
{
  struct list *node = find_place(list, sequence);
  if (node == list)
    return NULL;
  struct cache_announcement *announcement = CONTAINER_OF(node, struct cache_announcement, node);
  return announcement->sequence == sequence ? announcement : NULL;
}

void cache_announcements_cross(struct list *list)
{
  for (struct list *node = list->next; node != list; node = node->next) {
    struct list *keys = &CONTAINER_OF(node, struct cache_announcement, node)->keys;
    for (struct list *sibling = keys->next; sibling != keys; sibling = sibling->next)
      CONTAINER_OF(sibling, struct changing_key, sibling)->crossed = true;
  }
}

bool cache_announcement_is_lone(const struct cache_announcement *announcement)
{
  const struct list *first = announcement->keys.next;
  return first != &announcement->keys && first->next == &announcement->keys &&
         !CONTAINER_OF(first, const struct changing_key, sibling)->crossed;
}

bool cache_announcements_have(const struct hashtable *changing, struct slice key, uint64_t hash)
{
  return find_key(changing, key, hash) != NULL;
}
