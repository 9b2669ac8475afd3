// The header and claims of a token, not verified yet: the caller checks the signature before it uses them. Keeps no
// state.
#include "common/security/token_claims_internal.h"

#include "common/security/token_json_internal.h"

#define HEADER_MAX_DEPTH 4
#define PAYLOAD_MAX_DEPTH 8

struct header {
  struct slice alg, typ, kid;
  bool critical;
};

static bool read_alg(struct jsontext_reader *reader, void *target)
{
  return token_read_string(reader, &((struct header *)target)->alg);
}

static bool read_typ(struct jsontext_reader *reader, void *target)
{
  return token_read_string(reader, &((struct header *)target)->typ);
}

static bool read_kid(struct jsontext_reader *reader, void *target)
{
  return token_read_string(reader, &((struct header *)target)->kid);
}

// Reads "crit". The extensions that it lists must be understood (RFC 7515 section 4.1.11), and none is here.
static bool read_crit(struct jsontext_reader *reader, void *target)
{
  ((struct header *)target)->critical = true;
  return jsontext_skip_value(reader, NULL);
}

static const struct token_member header_members[] = {
    {"alg", read_alg},
    {"typ", read_typ},
    {"kid", read_kid},
    {"crit", read_crit},
};

bool token_header_parse(struct slice json, struct arena *arena, struct slice *kid)
{
  struct header header = {.typ = SLICE("JWT")};
  if (!token_read_document(json, HEADER_MAX_DEPTH, arena, header_members, ARRAY_LEN(header_members), &header))
    return false;
  *kid = header.kid;
  // What libjwt writes; "at+jwt" (RFC 9068) is another type.
  return slice_equal_string(header.alg, "ES256") && slice_equal_ignore_case(header.typ, SLICE("JWT")) &&
         !header.critical && token_text_fits(header.kid, TOKEN_MAX_KID_BYTES);
}

struct payload_target {
  struct token_payload *payload;
  struct arena *arena;
  struct slice audience;
};

// Reads a time in whole seconds, as our issuer writes it. RFC 7519 would allow fractions.
static bool read_time(struct jsontext_reader *reader, int64_t *out)
{
  return jsontext_read(reader) == JSONTEXT_NUMBER && slice_to_int64(reader->text, 0, TOKEN_MAX_TIME, out);
}

static bool read_exp(struct jsontext_reader *reader, void *target)
{
  return read_time(reader, &((struct payload_target *)target)->payload->claims.expires_at);
}

static bool read_iat(struct jsontext_reader *reader, void *target)
{
  return read_time(reader, &((struct payload_target *)target)->payload->claims.issued_at);
}

static bool read_nbf(struct jsontext_reader *reader, void *target)
{
  return read_time(reader, &((struct payload_target *)target)->payload->not_before);
}

static bool read_iss(struct jsontext_reader *reader, void *target)
{
  return token_read_string(reader, &((struct payload_target *)target)->payload->issuer);
}

static bool read_sub(struct jsontext_reader *reader, void *target)
{
  return token_read_string(reader, &((struct payload_target *)target)->payload->claims.subject);
}

static bool read_jti(struct jsontext_reader *reader, void *target)
{
  return token_read_string(reader, &((struct payload_target *)target)->payload->claims.id);
}

static bool read_sid(struct jsontext_reader *reader, void *target)
{
  struct slice *session = &((struct payload_target *)target)->payload->claims.session;
  return token_read_string(reader, session) && token_text_fits(*session, TOKEN_MAX_ID_BYTES);
}

static bool read_auth_time(struct jsontext_reader *reader, void *target)
{
  return read_time(reader, &((struct payload_target *)target)->payload->claims.auth_time);
}

// Reads "gen", a whole number in the bounds of a time.
static bool read_gen(struct jsontext_reader *reader, void *target)
{
  return read_time(reader, &((struct payload_target *)target)->payload->claims.generation);
}

// Reads "aud": one audience or an array of them (RFC 7519 section 4.1.3).
static bool read_aud(struct jsontext_reader *reader, void *target)
{
  struct payload_target *payload = target;
  enum jsontext_token token = jsontext_read(reader);
  if (token == JSONTEXT_STRING) {
    payload->payload->audience_fits = slice_equal(reader->text, payload->audience);
    return true;
  }
  if (token != JSONTEXT_ARRAY_BEGIN)
    return false;
  while ((token = jsontext_read(reader)) == JSONTEXT_STRING)
    payload->payload->audience_fits |= slice_equal(reader->text, payload->audience);
  return token == JSONTEXT_ARRAY_END;
}

struct text_list {
  const struct slice *texts;
  size_t count;
};

// Reads an array of at most `most` texts.
static bool read_texts(struct jsontext_reader *reader, struct arena *arena, size_t most, struct text_list *list)
{
  if (jsontext_read(reader) != JSONTEXT_ARRAY_BEGIN)
    return false;
  struct slice *texts = arena_array(arena, most, sizeof *texts);
  size_t count = 0;
  enum jsontext_token token;
  while ((token = jsontext_read(reader)) == JSONTEXT_STRING) {
    if (count == most || !token_text_fits(reader->text, TOKEN_MAX_ROLE_BYTES))
      return false;
    texts[count++] = reader->text;
  }
  *list = (struct text_list){texts, count};
  return token == JSONTEXT_ARRAY_END;
}

static bool read_roles(struct jsontext_reader *reader, void *target)
{
  struct payload_target *payload = target;
  struct text_list list = {0};
  if (!read_texts(reader, payload->arena, TOKEN_MAX_ROLES, &list))
    return false;
  payload->payload->claims.roles = list.texts;
  payload->payload->claims.role_count = list.count;
  return true;
}

static bool read_permissions(struct jsontext_reader *reader, void *target)
{
  struct payload_target *payload = target;
  struct text_list list = {0};
  if (!read_texts(reader, payload->arena, TOKEN_MAX_PERMISSIONS, &list))
    return false;
  payload->payload->claims.permissions = list.texts;
  payload->payload->claims.permission_count = list.count;
  return true;
}

static bool read_limited(struct jsontext_reader *reader, void *target)
{
  enum jsontext_token token = jsontext_read(reader);
  ((struct payload_target *)target)->payload->claims.is_limited = token == JSONTEXT_TRUE;
  return token == JSONTEXT_TRUE || token == JSONTEXT_FALSE;
}

static const struct token_member payload_members[] = {
    {"iss", read_iss},
    {"sub", read_sub},
    {"aud", read_aud},
    {"exp", read_exp},
    {"nbf", read_nbf},
    {"iat", read_iat},
    {"jti", read_jti},
    {"roles", read_roles},
    {"permissions", read_permissions},
    {"limited", read_limited},
    {"sid", read_sid},
    {"gen", read_gen},
    {"auth_time", read_auth_time},
};

bool token_payload_parse(struct slice json, const char *audience, struct arena *arena, struct token_payload *payload)
{
  *payload = (struct token_payload){.claims = {.issued_at = -1, .expires_at = -1}, .not_before = -1};
  struct payload_target target = {.payload = payload, .arena = arena, .audience = slice_from_string(audience)};
  if (!token_read_document(json, PAYLOAD_MAX_DEPTH, arena, payload_members, ARRAY_LEN(payload_members), &target))
    return false;
  const struct token_claims *claims = &payload->claims;
  // A missing iss or aud is not malformed: the caller answers it as a wrong audience.
  return claims->expires_at >= 0 && claims->issued_at >= 0 && payload->not_before >= 0 &&
         token_text_fits(claims->subject, TOKEN_MAX_SUBJECT_BYTES) && token_text_fits(claims->id, TOKEN_MAX_ID_BYTES);
}

bool token_has_expired(const struct token_claims *claims, int64_t now)
{
  return now - TOKEN_LEEWAY_S >= claims->expires_at;
}

enum token_result token_time_check(const struct token_claims *claims, int64_t not_before, int64_t now,
                                   int64_t extra_leeway_s)
{
  if (token_has_expired(claims, now - extra_leeway_s))
    return TOKEN_EXPIRED;
  if (now + TOKEN_LEEWAY_S < not_before || now + TOKEN_LEEWAY_S < claims->issued_at)
    return TOKEN_NOT_YET_VALID;
  return TOKEN_VALID;
}
