#include "common/base/strmap.h"

#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/compiler.h"
#include "common/base/hash.h"

struct entry {
  struct hashtable_node node;
  struct slice key;
  void *value;
};

void strmap_free(struct strmap *map)
{
  for (struct hashtable_node *node = hashtable_any(&map->table, NULL); node != NULL;) {
    struct entry *entry = CONTAINER_OF(node, struct entry, node);
    node = hashtable_any(&map->table, node);
    free(entry);
  }
  hashtable_free(&map->table);
}

static struct entry *find_entry(const struct strmap *map, struct slice key, uint64_t hash)
{
  struct hashtable_node *node = hashtable_first(&map->table, hash);
  while (node != NULL && !slice_equal(CONTAINER_OF(node, struct entry, node)->key, key))
    node = hashtable_next(node);
  return node == NULL ? NULL : CONTAINER_OF(node, struct entry, node);
}

bool strmap_add(struct strmap *map, struct slice key, void *value)
{
  CHECK(value != NULL);
  uint64_t hash = hash_bytes(key);
  if (find_entry(map, key, hash) != NULL)
    return false;
  struct entry *entry = malloc(sizeof(*entry));
  CHECK(entry != NULL);
  *entry = (struct entry){.key = key, .value = value};
  hashtable_insert(&map->table, &entry->node, hash);
  return true;
}

void *strmap_get(const struct strmap *map, struct slice key)
{
  struct entry *entry = find_entry(map, key, hash_bytes(key));
  return entry == NULL ? NULL : entry->value;
}
