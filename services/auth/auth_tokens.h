// Makes refresh tokens, and the answer that carries access token and refresh token.
#ifndef BULKHEAD_SERVICES_AUTH_AUTH_TOKENS_H
#define BULKHEAD_SERVICES_AUTH_AUTH_TOKENS_H

#include <stdint.h>

#include "auth/v1/auth.pb-c.h"
#include "common/base/arena.h"
#include "common/base/slice.h"
#include "common/base/status.h"

struct auth_state;

// A refresh token: 256 random bits as text, and the hash of it that the database keeps.
struct refresh_token {
  const char *text;
  struct slice hash;
};
struct refresh_token auth_tokens_new_refresh(struct arena *arena);
struct slice auth_tokens_hash(const char *text, struct arena *arena);

// The user of a session, with the roles that the user has now.
struct auth_session {
  const char *id;
  const char *user_id;
  char **roles;
  size_t role_count;
  int64_t auth_time;   // when the user last proved who he is, in Unix seconds
  int64_t generation;  // of the account's tokens
};
// Signs an access token for the session's user and fills the answer.
enum status auth_tokens_answer(const struct auth_state *state, const struct auth_session *session,
                               const struct refresh_token *refresh, struct arena *arena,
                               Auth__V1__TokenResponse *response) MUST_CHECK;

#endif
