#include "services/auth/passkey_challenges.h"

#include <string.h>

#include "common/base/codec.h"
#include "common/security/key.h"

static const char *make_context(const struct challenge_scope *scope, struct arena *arena)
{
  return arena_printf(arena, "%s of %s", scope->purpose, scope->user_id);
}

enum status passkey_challenge_issue(const struct challenge_scope *scope, struct arena *arena, char **text)
{
  struct slice sealed;
  struct slice plain = slice_make(&scope->now_ms, sizeof(scope->now_ms));
  enum status status = key_seal(slice_from_string(scope->secret), make_context(scope, arena), plain, arena, &sealed);
  if (status != STATUS_OK)
    return status;
  *text = base64url_string(sealed, arena);
  return STATUS_OK;
}

bool passkey_challenge_is_good(const struct challenge_scope *scope, struct slice challenge, struct arena *arena)
{
  struct slice plain;
  int64_t issued_ms;
  if (key_open(slice_from_string(scope->secret), make_context(scope, arena), challenge, arena, &plain) != STATUS_OK ||
      plain.size != sizeof(issued_ms))
    return false;
  memcpy(&issued_ms, plain.data, sizeof(issued_ms));
  // Instances have read the database's clock at different times, so one may be a little ahead of this one.
  return scope->now_ms - issued_ms < PASSKEY_CHALLENGE_TTL_MS && issued_ms - scope->now_ms < PASSKEY_CHALLENGE_TTL_MS;
}

struct slice passkey_challenge_hash(struct slice challenge, struct arena *arena)
{
  unsigned char *hash = arena_alloc(arena, 32);
  key_sha256(challenge, hash);
  return slice_make(hash, 32);
}
