// The public keys of a verifier: made from coordinates, checked, and kept parsed. Each key owns an arena; the set owns
// the keys. One thread.
#include "common/security/token_keys_internal.h"

#include <stdlib.h>

#include "common/base/check.h"
#include "common/security/token_json_internal.h"

const struct token_key *token_key_set_find(const struct token_key_set *set, struct slice kid)
{
  for (size_t i = 0; i < set->count; i++)
    if (slice_equal(set->keys[i]->kid, kid))
      return set->keys[i];
  return NULL;
}

static void free_key(struct token_key *key)
{
  ec_public_key_free(&key->ec);
  arena_free(&key->memory);
  free(key);
}

void token_key_set_clear(struct token_key_set *set)
{
  for (size_t i = 0; i < set->count; i++)
    free_key(set->keys[i]);
  set->count = 0;
}

static enum status add_key(struct token_key_set *set, const struct token_public_key *from, struct error *error)
{
  if (!token_text_fits(from->kid, TOKEN_MAX_KID_BYTES))
    return error_set(error, STATUS_INVALID_ARGUMENT, "a key id must be 1 to %d visible ASCII characters",
                     TOKEN_MAX_KID_BYTES);
  if (token_key_set_find(set, from->kid) != NULL)
    return error_set(error, STATUS_INVALID_ARGUMENT, "the key id " SLICE_FMT " comes twice", SLICE_ARG(from->kid));
  struct token_key *key = calloc(1, sizeof *key);
  CHECK(key != NULL);
  arena_init(&key->memory);
  if (ec_public_key_create(from->x, from->y, &key->ec) != STATUS_OK) {
    free_key(key);
    return error_set(error, STATUS_INVALID_ARGUMENT, "the coordinates of key " SLICE_FMT " are not a point of P-256",
                     SLICE_ARG(from->kid));
  }
  key->kid = arena_copy(&key->memory, from->kid);
  key->x = arena_copy(&key->memory, from->x);
  key->y = arena_copy(&key->memory, from->y);
  set->keys[set->count++] = key;
  return STATUS_OK;
}

enum status token_key_set_build(const struct token_public_key *keys, size_t count, struct token_key_set *out,
                                struct error *error)
{
  out->count = 0;
  if (count == 0)
    return error_set(error, STATUS_FAILED_PRECONDITION,
                     "the set holds no key; at least one EC P-256 signature key with a key id is needed");
  if (count > TOKEN_MAX_KEYS)
    return error_set(error, STATUS_INVALID_ARGUMENT, "the set holds %zu keys, at most %d are allowed", count,
                     TOKEN_MAX_KEYS);
  for (size_t i = 0; i < count; i++) {
    enum status status = add_key(out, &keys[i], error);
    if (status != STATUS_OK) {
      token_key_set_clear(out);
      return status;
    }
  }
  return STATUS_OK;
}

// Finds the same key, id and coordinates alike, in `set`; set->count when it is not there.
static size_t find_same_key(const struct token_key_set *set, const struct token_key *key)
{
  size_t i = 0;
  while (i < set->count && !(slice_equal(set->keys[i]->kid, key->kid) && slice_equal(set->keys[i]->x, key->x) &&
                             slice_equal(set->keys[i]->y, key->y)))
    i++;
  return i;
}

void token_key_set_replace(struct token_key_set *set, struct token_key_set *next,
                           void (*gone)(const struct token_key *key, void *arg), void *arg)
{
  for (size_t i = 0; i < set->count; i++) {
    struct token_key *old = set->keys[i];
    size_t place = find_same_key(next, old);
    if (place < next->count) {
      free_key(next->keys[place]);
      next->keys[place] = old;
    } else {
      gone(old, arg);
      free_key(old);
    }
  }
  *set = *next;
  next->count = 0;
}
