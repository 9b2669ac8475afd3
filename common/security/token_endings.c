#include "common/security/token_endings_internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/compiler.h"
#include "common/base/hash.h"

struct ending {
  struct hashtable_node node;
  struct list order;
  int64_t until;
  int64_t generation;  // the lowest that is good; 0: the key is a session
  size_t key_size;
  char key[];
};

void token_endings_init(struct token_endings *endings, size_t max_entries)
{
  *endings = (struct token_endings){.max_entries = max_entries};
  list_init(&endings->order);
}

static struct ending *get_first(const struct token_endings *endings)
{
  return CONTAINER_OF(endings->order.next, struct ending, order);
}

static void remove_first(struct token_endings *endings)
{
  struct ending *ending = get_first(endings);
  hashtable_remove(&endings->entries, &ending->node);
  list_remove(&ending->order);
  free(ending);
}

void token_endings_free(struct token_endings *endings)
{
  while (endings->entries.count > 0)
    remove_first(endings);
  hashtable_free(&endings->entries);
}

static struct ending *find(const struct token_endings *endings, struct slice key, bool is_session)
{
  for (struct hashtable_node *node = hashtable_first(&endings->entries, hash_bytes(key)); node != NULL;
       node = hashtable_next(node)) {
    struct ending *ending = CONTAINER_OF(node, struct ending, node);
    if ((ending->generation == 0) == is_session && slice_equal(slice_make(ending->key, ending->key_size), key))
      return ending;
  }
  return NULL;
}

static void add_new(struct token_endings *endings, struct slice key, int64_t generation, int64_t until)
{
  while (endings->entries.count >= endings->max_entries)
    remove_first(endings);
  struct ending *ending = malloc(sizeof(*ending) + key.size);
  CHECK(ending != NULL);
  *ending = (struct ending){.until = until, .generation = generation, .key_size = key.size};
  memcpy(ending->key, key.data, key.size);
  hashtable_insert(&endings->entries, &ending->node, hash_bytes(key));
  list_append(&endings->order, &ending->order);
}

void token_endings_add(struct token_endings *endings, struct slice key, int64_t generation, int64_t until, int64_t now)
{
  while (endings->entries.count > 0 && get_first(endings)->until <= now)
    remove_first(endings);
  struct ending *known = find(endings, key, generation == 0);
  if (known == NULL) {
    if (until > now && key.size > 0)
      add_new(endings, key, generation, until);
    return;
  }
  known->until = until > known->until ? until : known->until;
  known->generation = generation > known->generation ? generation : known->generation;
  list_remove(&known->order);
  list_append(&endings->order, &known->order);
}

bool token_endings_hit(const struct token_endings *endings, const struct token_claims *claims)
{
  if (endings->entries.count == 0)
    return false;
  if (claims->session.size > 0 && find(endings, claims->session, true) != NULL)
    return true;
  const struct ending *user = find(endings, claims->subject, false);
  return user != NULL && claims->generation < user->generation;
}
