#include "services/auth/account_tokens.h"

#include "common/base/codec.h"
#include "common/base/random.h"
#include "common/base/strbuf.h"
#include "common/security/key.h"
#include "common/service/call.h"

#define TOKEN_BYTES 32

struct slice account_token_hash(struct slice token, struct arena *arena)
{
  unsigned char *hash = arena_alloc(arena, 32);
  key_sha256(token, hash);
  return slice_make(hash, 32);
}

enum status account_token_fail(struct call *call)
{
  return call_fail(call, STATUS_FAILED_PRECONDITION, "INVALID_TOKEN",
                   "the link is unknown, used or too old; ask for a new one");
}

struct account_token account_token_new(struct arena *arena)
{
  unsigned char secret[TOKEN_BYTES];
  random_bytes(secret, sizeof(secret));
  struct strbuf text;
  strbuf_init(&text, 0);
  base64url_encode(slice_make(secret, sizeof(secret)), &text);
  struct account_token token = {.text = arena_string(arena, strbuf_slice(&text))};
  token.hash = account_token_hash(strbuf_slice(&text), arena);
  key_erase(secret, sizeof(secret));
  key_erase(text.data, text.size);
  strbuf_free(&text);
  return token;
}
