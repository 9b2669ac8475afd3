#include "services/auth/auth_tokens.h"

#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/codec.h"
#include "common/base/compiler.h"
#include "common/base/random.h"
#include "common/base/uuid.h"
#include "common/observe/log.h"
#include "common/security/key.h"
#include "common/security/token.h"
#include "common/service/service.h"
#include "services/auth/account_tokens.h"
#include "services/auth/auth_roles.h"
#include "services/auth/auth_state.h"
#include "services/auth/settings.h"

#define RANDOM_BYTES 24
#define UUID_BYTES 16

// The bytes of a refresh token before base64.
struct layout {
  unsigned char session[UUID_BYTES];
  unsigned char branch[4];  // in network order
  unsigned char family[REFRESH_FAMILY_BYTES];
  unsigned char random[RANDOM_BYTES];
};

struct slice auth_tokens_family_hash(const struct refresh_token *token, struct arena *arena)
{
  return account_token_hash(slice_make(token->family, sizeof(token->family)), arena);
}

// The bytes of each group of a UUID's digits.
static const size_t uuid_groups[] = {4, 2, 2, 2, 6};

static void write_uuid(const unsigned char *bytes, char text[UUID_TEXT_SIZE])
{
  for (size_t i = 0; i < ARRAY_LEN(uuid_groups); i++) {
    text = hex_encode(bytes, uuid_groups[i], text);
    bytes += uuid_groups[i];
    *text++ = i + 1 < ARRAY_LEN(uuid_groups) ? '-' : '\0';
  }
}

// Reads a valid UUID (CHECK).
static void read_uuid(const char *text, unsigned char *bytes)
{
  CHECK(uuid_valid(slice_from_string(text)));
  for (size_t i = 0; i < ARRAY_LEN(uuid_groups); i++) {
    CHECK(hex_decode(slice_make(text, 2 * uuid_groups[i]), bytes, uuid_groups[i]));
    text += 2 * uuid_groups[i] + 1;
    bytes += uuid_groups[i];
  }
}

struct refresh_token auth_tokens_new_refresh(const char *session_id, int64_t branch, const unsigned char *family,
                                             struct arena *arena)
{
  struct refresh_token token = {.branch = branch};
  struct layout layout;
  random_bytes(&layout, sizeof(layout));
  if (family != NULL)
    memcpy(layout.family, family, sizeof(layout.family));
  memcpy(token.family, layout.family, sizeof(token.family));
  snprintf(token.session_id, sizeof(token.session_id), "%s", session_id);
  read_uuid(session_id, layout.session);
  for (size_t i = 0; i < sizeof(layout.branch); i++)
    layout.branch[i] = (unsigned char)(branch >> (8 * (sizeof(layout.branch) - 1 - i)));
  struct strbuf text;
  strbuf_init(&text, 0);
  base64url_encode(slice_make(&layout, sizeof(layout)), &text);
  token.text = arena_string(arena, strbuf_slice(&text));
  token.hash = account_token_hash(strbuf_slice(&text), arena);
  key_erase(&layout, sizeof(layout));
  key_erase(text.data, text.size);
  strbuf_free(&text);
  return token;
}

struct refresh_token auth_tokens_read_refresh(const char *text, struct arena *arena)
{
  struct refresh_token token = {.text = text, .hash = account_token_hash(slice_from_string(text), arena)};
  struct layout layout;
  struct strbuf bytes;
  strbuf_init(&bytes, 0);
  if (base64_decode(slice_from_string(text), &bytes) && bytes.size == sizeof(layout)) {
    memcpy(&layout, bytes.data, sizeof(layout));
    write_uuid(layout.session, token.session_id);
    memcpy(token.family, layout.family, sizeof(token.family));
    for (size_t i = 0; i < sizeof(layout.branch); i++)
      token.branch = token.branch << 8 | layout.branch[i];
  }
  strbuf_free(&bytes);
  return token;
}

static const struct slice *slices_of(char *const *texts, size_t count, struct arena *arena)
{
  struct slice *slices = arena_array(arena, count, sizeof(*slices));
  for (size_t i = 0; i < count; i++)
    slices[i] = slice_from_string(texts[i]);
  return slices;
}

// Returns how many of the account's permissions its token carries. More than fit is possible only where a role has
// grown since the account got it.
static size_t count_permissions(const struct auth_session *session)
{
  size_t fitting = auth_roles_count_fitting(session->permissions, session->permission_count);
  if (fitting < session->permission_count)
    log_warn("roles",
             "an account's roles hold more permissions than an access token can carry; it is refused what the last of "
             "them allow, in alphabetical order. Give it fewer roles, or the roles fewer permissions",
             LOG_STRING("userId", session->user_id), LOG_INT("permissions", session->permission_count),
             LOG_INT("carried", fitting));
  return fitting;
}

// Returns when a token of now expires: after AUTH_ACCESS_TTL or, before, with what it belongs to.
static int64_t choose_expiry(const struct auth_state *state, const struct auth_session *session, int64_t now)
{
  int64_t expires_at = now + state->settings->access_ttl_ms / 1000;
  if (session->expire_s == 0 || session->expire_s > expires_at)
    return expires_at;
  return session->expire_s > now ? session->expire_s : now + 1;
}

enum status auth_tokens_sign(const struct auth_state *state, const struct auth_session *session, struct arena *arena,
                             struct slice *token)
{
  struct slice *roles = arena_array(arena, session->role_count + 1, sizeof(*roles));
  roles[0] = SLICE("user");
  for (size_t i = 0; i < session->role_count; i++)
    roles[i + 1] = slice_from_string(session->roles[i]);

  char id[UUID_TEXT_SIZE];
  uuid_v7(id);
  // The database's clock, because those of several instances may differ by more than verifiers allow.
  int64_t now = auth_keys_now_ms(&state->keys) / 1000;
  struct token_claims claims = {
      .subject = slice_from_string(session->user_id),
      .roles = roles,
      .role_count = session->role_count + 1,
      .permissions = slices_of(session->permissions, session->permission_count, arena),
      .permission_count = count_permissions(session),
      .is_limited = session->is_limited,
      .id = slice_from_string(id),
      .issued_at = now,
      .expires_at = choose_expiry(state, session, now),
      .session = slice_from_string(session->id),
      .auth_time = session->auth_time,
      .generation = session->generation,
  };
  return token_sign(auth_keys_signer(&state->keys), service_token_issuer(state->service),
                    service_token_audience(state->service), &claims, arena, token);
}

enum status auth_tokens_answer(const struct auth_state *state, const struct auth_session *session,
                               const struct refresh_token *refresh, struct arena *arena,
                               Auth__V1__TokenResponse *response)
{
  struct slice token;
  enum status status = auth_tokens_sign(state, session, arena, &token);
  if (status != STATUS_OK)
    return status;
  response->access_token = arena_string(arena, token);
  response->token_type = arena_string(arena, SLICE("Bearer"));
  response->expires_in = (int32_t)(state->settings->access_ttl_ms / 1000);
  response->refresh_token = (char *)(uintptr_t)refresh->text;
  return STATUS_OK;
}
