// Signing and verifying of access tokens; the steps of a verification are in token_verify, at the end.
//
// A verifier belongs to one thread. It owns its keys, its cache, and a scratch arena that each full verification
// resets.
#include "common/security/token.h"

#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/jsontext_writer.h"
#include "common/base/strbuf.h"
#include "common/security/base64url_internal.h"
#include "common/security/jwk_set_internal.h"
#include "common/security/token_cache_internal.h"
#include "common/security/token_claims_internal.h"
#include "common/security/token_endings_internal.h"
#include "common/security/token_issue_internal.h"
#include "common/security/token_json_internal.h"
#include "common/security/token_keys_internal.h"

#define DEFAULT_MAX_CACHED 65536

static bool do_texts_fit(const struct slice *texts, size_t count)
{
  for (size_t i = 0; i < count; i++)
    if (!token_text_fits(texts[i], TOKEN_MAX_ROLE_BYTES))
      return false;
  return true;
}

static bool are_claims_valid(const struct token_claims *claims)
{
  if (!token_text_fits(claims->subject, TOKEN_MAX_SUBJECT_BYTES) || !token_text_fits(claims->id, TOKEN_MAX_ID_BYTES) ||
      claims->role_count > TOKEN_MAX_ROLES || claims->permission_count > TOKEN_MAX_PERMISSIONS)
    return false;
  if (!do_texts_fit(claims->roles, claims->role_count) || !do_texts_fit(claims->permissions, claims->permission_count))
    return false;
  if (claims->session.size > 0 && !token_text_fits(claims->session, TOKEN_MAX_ID_BYTES))
    return false;
  if (claims->auth_time < 0 || claims->auth_time > TOKEN_MAX_TIME || claims->generation < 0 ||
      claims->generation > TOKEN_MAX_TIME)
    return false;
  return claims->issued_at >= 0 && claims->issued_at < claims->expires_at && claims->expires_at <= TOKEN_MAX_TIME;
}

static void write_texts(struct jsontext_writer *writer, struct slice name, const struct slice *texts, size_t count)
{
  jsontext_key(writer, name);
  jsontext_begin_array(writer);
  for (size_t i = 0; i < count; i++)
    jsontext_string(writer, texts[i]);
  jsontext_end_array(writer);
}

static void write_claims(const char *issuer, const char *audience, const struct token_claims *claims,
                         struct strbuf *out)
{
  struct jsontext_writer writer;
  jsontext_writer_init(&writer, out);
  jsontext_begin_object(&writer);
  jsontext_key_string(&writer, "iss", slice_from_string(issuer));
  jsontext_key_string(&writer, "sub", claims->subject);
  jsontext_key_string(&writer, "aud", slice_from_string(audience));
  jsontext_key_int(&writer, "iat", claims->issued_at);
  jsontext_key_int(&writer, "nbf", claims->issued_at);
  jsontext_key_int(&writer, "exp", claims->expires_at);
  jsontext_key_string(&writer, "jti", claims->id);
  write_texts(&writer, SLICE("roles"), claims->roles, claims->role_count);
  if (claims->permission_count > 0)
    write_texts(&writer, SLICE("permissions"), claims->permissions, claims->permission_count);
  if (claims->is_limited)
    jsontext_key_bool(&writer, "limited", true);
  if (claims->session.size > 0)
    jsontext_key_string(&writer, "sid", claims->session);
  if (claims->auth_time > 0)
    jsontext_key_int(&writer, "auth_time", claims->auth_time);
  if (claims->generation > 0)
    jsontext_key_int(&writer, "gen", claims->generation);
  jsontext_end_object(&writer);
}

enum status token_sign(const struct token_signing_key *key, const char *issuer, const char *audience,
                       const struct token_claims *claims, struct arena *arena, struct slice *token)
{
  if (!are_claims_valid(claims) || !token_text_fits(slice_from_string(key->kid), TOKEN_MAX_KID_BYTES))
    return STATUS_INVALID_ARGUMENT;
  struct private_key *own = NULL;
  if (key->parsed == NULL && private_key_parse(key->private_pem, &own) != STATUS_OK)
    return STATUS_INVALID_ARGUMENT;
  struct strbuf json;
  strbuf_init(&json, 0);
  write_claims(issuer, audience, claims, &json);
  enum status status =
      token_issue(key->kid, key->parsed != NULL ? key->parsed : own, strbuf_cstring(&json), arena, token);
  strbuf_free(&json);
  private_key_free(&own);
  if (status == STATUS_OK && token->size > TOKEN_MAX_BYTES)
    return STATUS_INVALID_ARGUMENT;
  return status;
}

struct token_verifier {
  struct arena memory;  // of issuer and audience
  const char *issuer;
  const char *audience;
  struct token_key_set keys;
  struct token_cache *cache;
  struct token_endings endings;
  struct arena scratch;
  int64_t extra_leeway_s;
};

struct token_verifier *token_verifier_create(const struct token_verifier_options *options)
{
  struct token_verifier *verifier = calloc(1, sizeof *verifier);
  CHECK(verifier != NULL);
  arena_init(&verifier->memory);
  arena_init(&verifier->scratch);
  verifier->issuer = arena_string(&verifier->memory, slice_from_string(options->issuer));
  verifier->audience = arena_string(&verifier->memory, slice_from_string(options->audience));
  verifier->extra_leeway_s = options->extra_leeway_s;
  verifier->cache = token_cache_create(options->max_cached == 0 ? DEFAULT_MAX_CACHED : options->max_cached);
  token_endings_init(&verifier->endings, TOKEN_MAX_ENDINGS);
  return verifier;
}

void token_verifier_free(struct token_verifier **verifier)
{
  struct token_verifier *old = *verifier;
  if (old == NULL)
    return;
  token_cache_free(&old->cache);
  token_endings_free(&old->endings);
  token_key_set_clear(&old->keys);
  arena_free(&old->scratch);
  arena_free(&old->memory);
  free(old);
  *verifier = NULL;
}

static void remove_tokens(const struct token_key *key, void *arg)
{
  token_cache_forget_key(arg, key);
}

enum status token_verifier_set_keys(struct token_verifier *verifier, const struct token_public_key *keys, size_t count,
                                    struct error *error)
{
  struct token_key_set next;
  enum status status = token_key_set_build(keys, count, &next, error);
  if (status == STATUS_OK)
    token_key_set_replace(&verifier->keys, &next, remove_tokens, verifier->cache);
  return status;
}

enum status token_verifier_read_keys(struct token_verifier *verifier, const char *keys, struct error *error)
{
  struct arena memory;
  struct jwk_set set;
  arena_init(&memory);
  struct slice json = slice_from_string(keys);
  enum status status = jwk_set_is_path(keys) ? jwk_set_read_file(keys, &memory, &json, error) : STATUS_OK;
  if (status == STATUS_OK)
    status = jwk_set_parse(json, &memory, &set, error);
  if (status == STATUS_OK)
    status = token_verifier_set_keys(verifier, set.keys, set.count, error);
  arena_free(&memory);
  return status;
}

size_t token_verifier_key_count(const struct token_verifier *verifier)
{
  return verifier->keys.count;
}

void token_verifier_end_session(struct token_verifier *verifier, struct slice user, struct slice session, int64_t until,
                                int64_t now)
{
  token_endings_add(&verifier->endings, session, 0, until, now);
  token_cache_forget_session(verifier->cache, user, session);
}

void token_verifier_end_user(struct token_verifier *verifier, struct slice user, int64_t generation, int64_t until,
                             int64_t now)
{
  CHECK(generation > 0);
  token_endings_add(&verifier->endings, user, generation, until, now);
  token_cache_forget_user(verifier->cache, user, generation);
}

const char *token_result_text(enum token_result result)
{
  static const char *const texts[] = {
      [TOKEN_VALID] = "the access token is valid",
      [TOKEN_MALFORMED] = "the access token is malformed",
      [TOKEN_UNKNOWN_KEY] = "the access token is signed with an unknown key",
      [TOKEN_FORGED] = "the signature of the access token does not fit",
      [TOKEN_EXPIRED] = "the access token has expired",
      [TOKEN_NOT_YET_VALID] = "the access token is not valid yet",
      [TOKEN_WRONG_AUDIENCE] = "the access token is from another issuer or for another audience",
      [TOKEN_ENDED] = "the access token was revoked; refresh it or log in again",
  };
  CHECK((size_t)result < ARRAY_LEN(texts));
  return texts[result];
}

struct token_parts {
  struct slice signed_text;                 // header and payload as they stand in the token
  struct slice header, payload, signature;  // decoded
};

// Splits a token into exactly three parts of canonical base64url (RFC 7515 section 3.1). The last part must be as long
// as an ES256 signature.
static bool split_token(struct slice token, struct arena *arena, struct token_parts *parts)
{
  size_t header_end = slice_find(token, '.', 0);
  size_t payload_end = slice_find(token, '.', header_end + 1);
  struct slice signature = slice_skip(token, payload_end + 1);
  if (header_end == 0 || payload_end <= header_end + 1 || signature.size != EC_SIGNATURE_TEXT_SIZE)
    return false;
  struct slice header = slice_make(token.data, header_end);
  struct slice payload = slice_make(token.data + header_end + 1, payload_end - header_end - 1);
  parts->signed_text = slice_make(token.data, payload_end);
  return base64url_decode_strict(header, arena, &parts->header) &&
         base64url_decode_strict(payload, arena, &parts->payload) &&
         base64url_decode_strict(signature, arena, &parts->signature);
}

static enum token_result check_payload(const struct token_verifier *verifier, const struct token_payload *payload,
                                       int64_t now)
{
  if (!payload->audience_fits || !slice_equal_string(payload->issuer, verifier->issuer))
    return TOKEN_WRONG_AUDIENCE;
  return token_time_check(&payload->claims, payload->not_before, now, verifier->extra_leeway_s);
}

// Verifies a token that is not in the cache, and adds it when it is valid. Cheap checks come first, so that malformed
// tokens cost little. The claims count only once the signature has been verified.
static enum token_result verify_new(struct token_verifier *verifier, struct slice token, int64_t now,
                                    const struct token_claims **claims)
{
  struct arena *arena = &verifier->scratch;
  arena_reset(arena);
  struct token_parts parts;
  struct slice kid;
  struct token_payload payload;
  if (!split_token(token, arena, &parts) || !token_header_parse(parts.header, arena, &kid) ||
      !token_payload_parse(parts.payload, verifier->audience, arena, &payload))
    return TOKEN_MALFORMED;
  const struct token_key *key = token_key_set_find(&verifier->keys, kid);
  if (key == NULL)
    return TOKEN_UNKNOWN_KEY;
  if (!ec_verify_signature(key->ec, parts.signed_text, (const unsigned char *)parts.signature.data))
    return TOKEN_FORGED;
  enum token_result result = check_payload(verifier, &payload, now);
  if (result == TOKEN_VALID && token_endings_hit(&verifier->endings, &payload.claims))
    return TOKEN_ENDED;
  if (result == TOKEN_VALID)
    *claims = &token_cache_add(verifier->cache, token, key, &payload.claims, payload.not_before, now)->claims;
  return result;
}

bool token_verify_cached(struct token_verifier *verifier, struct slice token, int64_t now,
                         const struct token_claims **claims, enum token_result *result)
{
  if (token.size == 0 || token.size > TOKEN_MAX_BYTES)
    return false;
  struct token_cache_entry *entry = token_cache_find(verifier->cache, token);
  if (entry == NULL)
    return false;
  // The token may have expired since it was added.
  *result = token_time_check(&entry->claims, entry->not_before, now, verifier->extra_leeway_s);
  if (*result == TOKEN_VALID)
    *claims = &entry->claims;
  else if (*result == TOKEN_EXPIRED)
    token_cache_remove(verifier->cache, entry);
  return true;
}

enum token_result token_verify(struct token_verifier *verifier, struct slice token, int64_t now,
                               const struct token_claims **claims, bool *cached)
{
  enum token_result result = TOKEN_MALFORMED;
  bool is_cached = token_verify_cached(verifier, token, now, claims, &result);
  if (cached != NULL)
    *cached = is_cached;
  if (is_cached || token.size == 0 || token.size > TOKEN_MAX_BYTES)
    return result;
  return verify_new(verifier, token, now, claims);
}

void token_verifier_forget(struct token_verifier *verifier, struct slice token)
{
  struct token_cache_entry *entry = token_cache_find(verifier->cache, token);
  if (entry != NULL)
    token_cache_remove(verifier->cache, entry);
}
