// The public keys of a verifier: read from a JSON Web Key Set or from coordinates, checked, and kept ready
// for use. Each key owns an arena; the set owns the keys. One thread.
#include "common/security/token_keys_internal.h"

#include <stdlib.h>

#include "common/base/check.h"
#include "common/security/token_json_internal.h"

#define JWKS_MAX_DEPTH 8

const struct token_key *token_key_set_find(const struct token_key_set *set, struct slice kid)
{
  for (size_t i = 0; i < set->count; i++)
    if (slice_equal(set->keys[i]->kid, kid))
      return set->keys[i];
  return NULL;
}

static void key_free(struct token_key *key)
{
  ec_public_key_free(&key->ec);
  arena_free(&key->memory);
  free(key);
}

void token_key_set_free(struct token_key_set *set)
{
  for (size_t i = 0; i < set->count; i++)
    key_free(set->keys[i]);
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
    key_free(key);
    return error_set(error, STATUS_INVALID_ARGUMENT, "the coordinates of key " SLICE_FMT " are no point of P-256",
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
    return error_set(error, STATUS_FAILED_PRECONDITION, "the set holds no EC P-256 signature key with a key id");
  if (count > TOKEN_MAX_KEYS)
    return error_set(error, STATUS_INVALID_ARGUMENT, "the set holds %zu keys, at most %d are allowed", count,
                     TOKEN_MAX_KEYS);
  for (size_t i = 0; i < count; i++) {
    enum status status = add_key(out, &keys[i], error);
    if (status != STATUS_OK) {
      token_key_set_free(out);
      return status;
    }
  }
  return STATUS_OK;
}

// The place of the same key, id and coordinates, in `set`; set->count when it is not there.
static size_t place_of(const struct token_key_set *set, const struct token_key *key)
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
    size_t place = place_of(next, old);
    if (place < next->count) {
      key_free(next->keys[place]);
      next->keys[place] = old;
    } else {
      gone(old, arg);
      key_free(old);
    }
  }
  *set = *next;
  next->count = 0;
}

// One member of the "keys" array (RFC 7517 section 4); what is absent stays empty.
struct jwk {
  struct slice kty, crv, use, alg, kid, x, y;
};

#define JWK_READER(member)                                                                                             \
  static bool read_##member(struct jsontext_reader *reader, void *target)                                              \
  {                                                                                                                    \
    return token_read_string(reader, &((struct jwk *)target)->member);                                                 \
  }
JWK_READER(kty)
JWK_READER(crv)
JWK_READER(use)
JWK_READER(alg)
JWK_READER(kid)
JWK_READER(x)
JWK_READER(y)

static const struct token_member jwk_members[] = {
    {"kty", read_kty}, {"crv", read_crv}, {"use", read_use}, {"alg", read_alg},
    {"kid", read_kid}, {"x", read_x},     {"y", read_y},
};

static bool is_usable(const struct jwk *jwk)
{
  return slice_equal_string(jwk->kty, "EC") && slice_equal_string(jwk->crv, "P-256") && jwk->kid.size > 0 &&
         (jwk->use.size == 0 || slice_equal_string(jwk->use, "sig")) &&
         (jwk->alg.size == 0 || slice_equal_string(jwk->alg, "ES256"));
}

struct jwks_target {
  struct token_public_key *keys;
  size_t count;
  bool present;
  bool too_many;
};

static bool read_keys(struct jsontext_reader *reader, void *target)
{
  struct jwks_target *jwks = target;
  jwks->present = true;
  if (jsontext_read(reader) != JSONTEXT_ARRAY_BEGIN)
    return false;
  // The reader cannot look ahead, so a copy of it, which is a plain value, reads the token that may end the array.
  for (;;) {
    struct jsontext_reader ahead = *reader;
    if (jsontext_read(&ahead) == JSONTEXT_ARRAY_END) {
      *reader = ahead;
      return true;
    }
    struct jwk jwk = {0};
    if (!token_read_object(reader, jwk_members, ARRAY_LEN(jwk_members), &jwk))
      return false;
    if (!is_usable(&jwk))
      continue;
    if (jwks->count == TOKEN_MAX_KEYS) {
      jwks->too_many = true;
      return false;
    }
    jwks->keys[jwks->count++] = (struct token_public_key){.kid = jwk.kid, .x = jwk.x, .y = jwk.y};
  }
}

static const struct token_member jwks_members[] = {{"keys", read_keys}};

enum status token_jwks_parse(struct slice jwks, struct arena *arena, struct token_public_key keys[TOKEN_MAX_KEYS],
                             size_t *count, struct error *error)
{
  if (jwks.size > TOKEN_MAX_JWKS_BYTES)
    return error_set(error, STATUS_INVALID_ARGUMENT, "the key set has %zu bytes, at most %d are allowed", jwks.size,
                     TOKEN_MAX_JWKS_BYTES);
  struct jwks_target target = {.keys = keys};
  bool ok = token_read_document(jwks, JWKS_MAX_DEPTH, arena, jwks_members, ARRAY_LEN(jwks_members), &target);
  if (target.too_many)
    return error_set(error, STATUS_INVALID_ARGUMENT, "the key set holds more than %d keys", TOKEN_MAX_KEYS);
  if (!ok || !target.present)
    return error_set(error, STATUS_INVALID_ARGUMENT,
                     "the key set is no JSON Web Key Set: {\"keys\":[{\"kty\":\"EC\",…}]} is expected");
  *count = target.count;
  return STATUS_OK;
}
