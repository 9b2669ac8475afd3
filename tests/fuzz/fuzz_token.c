// Tokens, claims and keys from strangers. The first byte chooses what the rest is:
//   'k'  two keys, each its id, x and y, separated by zero bytes
//   'c'  claims under a good header and a true signature (what comes after the signature is checked)
//   'h'  a header over good claims and with a true signature
//   otherwise the whole input is a token
// A token that is accepted must be accepted again from the cache, with the same claims.
#include <stdint.h>
#include <stdlib.h>

#include "common/security/token.h"
#include "tests/unit/security/forge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct token_verifier *create_verifier(void)
{
  struct error error;
  struct token_verifier *verifier = token_verifier_create(
      &(struct token_verifier_options){.issuer = FORGE_ISSUER, .audience = FORGE_AUDIENCE, .max_cached = 8});
  CHECK(token_verifier_set_keys(verifier, &FORGE_KEY, 1, &error) == STATUS_OK);
  return verifier;
}

static struct slice take_text(struct slice *rest)
{
  size_t end = slice_find(*rest, '\0', 0);
  struct slice text = slice_make(rest->data, end);
  *rest = slice_skip(*rest, end + 1);
  return text;
}

static void try_keys(struct slice texts)
{
  struct error error;
  struct token_verifier *verifier = create_verifier();
  struct token_public_key keys[2];
  for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
    keys[i].kid = take_text(&texts);
    keys[i].x = take_text(&texts);
    keys[i].y = take_text(&texts);
  }
  bool taken = token_verifier_set_keys(verifier, keys, ARRAY_LEN(keys), &error) == STATUS_OK;
  CHECK(token_verifier_key_count(verifier) == (taken ? 2 : 1));
  token_verifier_free(&verifier);
}

// Reads all that a caller would read, so that the sanitizer sees each byte.
static size_t claims_size(const struct token_claims *claims)
{
  size_t size = claims->subject.size + claims->id.size;
  for (size_t i = 0; i < claims->role_count; i++)
    size += strnlen(claims->roles[i].data, claims->roles[i].size);
  CHECK(claims->subject.size > 0 && claims->id.size > 0 && claims->role_count <= TOKEN_MAX_ROLES);
  return size;
}

static void try_token(struct token_verifier *verifier, struct slice token)
{
  const struct token_claims *claims;
  bool cached;
  if (token_verify(verifier, token, FORGE_NOW, &claims, &cached) != TOKEN_VALID)
    return;
  size_t before = claims_size(claims);
  CHECK(token_verify(verifier, token, FORGE_NOW, &claims, &cached) == TOKEN_VALID);
  CHECK(cached && claims_size(claims) == before);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  static struct token_verifier *verifier;
  if (verifier == NULL)
    verifier = create_verifier();
  struct arena arena;
  arena_init(&arena);
  struct slice input = slice_make(data, size), rest = slice_skip(input, 1);
  if (size > 0 && data[0] == 'k')
    try_keys(rest);
  else if (size > 0 && data[0] == 'c')
    try_token(verifier, forge_token(SLICE(FORGE_HEADER), rest, &arena));
  else if (size > 0 && data[0] == 'h')
    try_token(verifier, forge_token(rest, forge_claims(NULL, NULL, &arena), &arena));
  else
    try_token(verifier, input);
  arena_free(&arena);
  return 0;
}
