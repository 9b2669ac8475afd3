// The signing keys of access tokens: read from the database, where all instances share them; the first instance makes
// the first.
#ifndef BULKHEAD_SERVICES_AUTH_AUTH_KEYS_H
#define BULKHEAD_SERVICES_AUTH_AUTH_KEYS_H

#include <stddef.h>

#include "common/base/arena.h"
#include "common/base/slice.h"
#include "common/base/status.h"
#include "common/security/token.h"

struct pg;

struct auth_key {
  struct token_signing_key signing;
  struct slice x, y;  // base64url
};

struct auth_keys {
  struct arena arena;     // of everything below; erased when freed
  struct auth_key *keys;  // newest first; the newest signs
  size_t count;
};

// Reads all keys, after making one if there is none. Refuses a key that was sealed with another AUTH_KEY_SECRET.
// On failure `error` says why, and *keys is unchanged. May wait.
enum status auth_keys_load(struct auth_keys *keys, struct pg *pg, const char *secret, struct error *error) MUST_CHECK;
void auth_keys_free(struct auth_keys *keys);

#endif
