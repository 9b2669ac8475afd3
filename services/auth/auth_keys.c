#include "services/auth/auth_keys.h"

#include <string.h>

#include "auth/queries.bh.h"
#include "common/observe/log.h"
#include "common/security/key.h"

// The context that every key is sealed with, so that no other sealed secret can pass for a key.
#define SEAL_CONTEXT "bulkhead auth signing key 1"

// Stores the key if there is none yet; *made tells whether it did. Of several instances that start together one wins.
static enum status store_first(struct pg_tx *tx, const struct auth_db_add_first_key_params *key, struct arena *arena,
                               bool *made)
{
  int64_t added = 0;
  enum status status = auth_db_lock_keys(query_in(tx), arena);
  if (status == STATUS_OK)
    status = auth_db_add_first_key(query_in(tx), key, arena, &added);
  *made = added > 0;
  return status;
}

static enum status add_first(struct pg *pg, const struct auth_db_add_first_key_params *key, struct arena *arena,
                             bool *made)
{
  struct pg_tx *tx = NULL;
  enum status status = pg_begin(pg, &tx);
  if (status == STATUS_OK)
    status = store_first(tx, key, arena, made);
  if (status == STATUS_OK)
    status = pg_commit(&tx);
  pg_rollback(&tx);
  return status;
}

static enum status make_first(struct pg *pg, const char *secret, struct arena *arena)
{
  const char *pem;
  struct slice x, y, kid, sealed;
  enum status status = key_generate(arena, &pem);
  if (status == STATUS_OK)
    status = key_public_parts(pem, arena, &x, &y, &kid);
  if (status == STATUS_OK)
    status = key_seal(slice_from_string(secret), SEAL_CONTEXT, slice_from_string(pem), arena, &sealed);
  bool made = false;
  if (status == STATUS_OK) {
    const struct auth_db_add_first_key_params first = {.kid = arena_string(arena, kid), .sealed = sealed};
    status = add_first(pg, &first, arena, &made);
  }
  if (made)
    log_info("keys", "made the first signing key", LOG_SLICE("kid", kid));
  return status;
}

static enum status open_key(const struct auth_db_list_keys_row *stored, const char *secret, struct arena *arena,
                            struct auth_key *key)
{
  struct slice pem, kid;
  enum status status = key_open(slice_from_string(secret), SEAL_CONTEXT, stored->sealed, arena, &pem);
  if (status != STATUS_OK)
    return status;
  key->signing.kid = stored->kid;
  key->signing.private_pem = arena_string(arena, pem);
  return key_public_parts(key->signing.private_pem, arena, &key->x, &key->y, &kid);
}

static enum status open_all(struct auth_keys *keys, const struct auth_db_list_keys_row *stored, const char *secret,
                            struct error *error)
{
  keys->keys = arena_array(&keys->arena, keys->count, sizeof(*keys->keys));
  for (size_t i = 0; i < keys->count; i++) {
    enum status status = open_key(&stored[i], secret, &keys->arena, &keys->keys[i]);
    if (status != STATUS_OK)
      return error_set(error, status,
                       "AUTH_KEY_SECRET does not open the stored signing key %s; start with "
                       "the secret that it was sealed with",
                       stored[i].kid);
  }
  return STATUS_OK;
}

enum status auth_keys_load(struct auth_keys *keys, struct pg *pg, const char *secret, struct error *error)
{
  struct auth_keys loaded = {0};
  struct auth_db_list_keys_row *stored = NULL;
  arena_init(&loaded.arena);
  enum status status = auth_db_list_keys(query_on(pg), &loaded.arena, &stored, &loaded.count);
  if (status == STATUS_OK && loaded.count == 0) {
    status = make_first(pg, secret, &loaded.arena);
    if (status == STATUS_OK)
      status = auth_db_list_keys(query_on(pg), &loaded.arena, &stored, &loaded.count);
  }
  if (status != STATUS_OK)
    (void)error_set(error, status, "the signing keys could not be read from the database");
  else
    status = open_all(&loaded, stored, secret, error);
  if (status != STATUS_OK) {
    auth_keys_free(&loaded);
    return status;
  }
  auth_keys_free(keys);
  *keys = loaded;
  return STATUS_OK;
}

void auth_keys_free(struct auth_keys *keys)
{
  arena_free(&keys->arena);
  keys->keys = NULL;
  keys->count = 0;
}
