#include "services/auth/auth_tokens.h"

#include "common/base/clock.h"
#include "common/base/codec.h"
#include "common/base/random.h"
#include "common/base/uuid.h"
#include "common/security/key.h"
#include "common/security/token.h"
#include "common/service/service.h"
#include "services/auth/auth_state.h"
#include "services/auth/settings.h"

#define REFRESH_TOKEN_BYTES 32

struct slice auth_tokens_hash(const char *text, struct arena *arena)
{
  unsigned char *hash = arena_alloc(arena, 32);
  key_sha256(slice_from_string(text), hash);
  return slice_make(hash, 32);
}

struct refresh_token auth_tokens_new_refresh(struct arena *arena)
{
  unsigned char secret[REFRESH_TOKEN_BYTES];
  random_bytes(secret, sizeof(secret));
  struct strbuf text;
  strbuf_init(&text, 0);
  base64url_encode(slice_make(secret, sizeof(secret)), &text);
  struct refresh_token token = {.text = arena_string(arena, strbuf_slice(&text))};
  token.hash = auth_tokens_hash(token.text, arena);
  key_erase(secret, sizeof(secret));
  key_erase(text.data, text.size);
  strbuf_free(&text);
  return token;
}

enum status auth_tokens_answer(const struct auth_state *state, const struct auth_session *session,
                               const struct refresh_token *refresh, struct arena *arena,
                               Auth__V1__TokenResponse *response)
{
  const struct auth_settings *settings = state->settings;
  struct slice *roles = arena_array(arena, session->role_count + 1, sizeof(*roles));
  roles[0] = SLICE("user");
  for (size_t i = 0; i < session->role_count; i++)
    roles[i + 1] = slice_from_string(session->roles[i]);

  char id[UUID_TEXT_SIZE];
  uuid_v7(id);
  int64_t now = clock_wall_us() / 1000000;
  struct token_claims claims = {
      .subject = slice_from_string(session->user_id),
      .roles = roles,
      .role_count = session->role_count + 1,
      .id = slice_from_string(id),
      .issued_at = now,
      .expires_at = now + settings->access_ttl_ms / 1000,
      .session = slice_from_string(session->id),
      .auth_time = session->auth_time,
      .generation = session->generation,
  };
  struct slice token;
  enum status status = token_sign(&state->keys.keys[0].signing, service_token_issuer(state->service),
                                  service_token_audience(state->service), &claims, arena, &token);
  if (status != STATUS_OK)
    return status;
  response->access_token = arena_string(arena, token);
  response->token_type = arena_string(arena, SLICE("Bearer"));
  response->expires_in = (int32_t)(settings->access_ttl_ms / 1000);
  response->refresh_token = (char *)(uintptr_t)refresh->text;
  return STATUS_OK;
}
