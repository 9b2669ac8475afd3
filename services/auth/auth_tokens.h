// Makes refresh tokens, and the answer that carries access token and refresh token.
#ifndef BULKHEAD_SERVICES_AUTH_AUTH_TOKENS_H
#define BULKHEAD_SERVICES_AUTH_AUTH_TOKENS_H

#include <stdbool.h>
#include <stdint.h>

#include "auth/v1/auth.pb-c.h"
#include "common/base/arena.h"
#include "common/base/slice.h"
#include "common/base/status.h"
#include "common/base/uuid.h"

struct auth_state;

#define REFRESH_FAMILY_BYTES 16

// A refresh token. It names its session and the branch of it that it belongs to, and holds a secret that all tokens of
// the session share, so that a spent one can be told from one that nobody has issued, beside 192 random bits of its
// own. The database keeps hashes only.
struct refresh_token {
  const char *text;
  struct slice hash;
  char session_id[UUID_TEXT_SIZE];  // "" in a token of a release before, which has nothing but random bits
  int64_t branch;
  unsigned char family[REFRESH_FAMILY_BYTES];
};
// Makes the next token of a branch. `family` is that of the session's tokens; NULL begins a new one.
struct refresh_token auth_tokens_new_refresh(const char *session_id, int64_t branch, const unsigned char *family,
                                             struct arena *arena);
// Reads a token that a client has sent, whoever has made it.
struct refresh_token auth_tokens_read_refresh(const char *text, struct arena *arena);
// Returns the hash by which the database knows the tokens of a session.
struct slice auth_tokens_family_hash(const struct refresh_token *token, struct arena *arena);

// What an access token is for, with the roles that its user has now: a session, or an API key, by its id.
struct auth_session {
  const char *id;
  const char *user_id;
  char **roles;
  size_t role_count;
  char **permissions;  // what these roles hold, beside `user` and `admin`
  size_t permission_count;
  bool is_limited;     // the token allows nothing but these permissions: that of an API key
  int64_t auth_time;   // when the user last proved who he is, in Unix seconds; 0: the token does not say
  int64_t generation;  // of the account's tokens
  int64_t expire_s;    // when its tokens expire at the latest, in Unix seconds; 0: after AUTH_ACCESS_TTL
};
// Signs an access token.
enum status auth_tokens_sign(const struct auth_state *state, const struct auth_session *session, struct arena *arena,
                             struct slice *token) MUST_CHECK;
// Signs an access token for the session's user and fills the answer.
enum status auth_tokens_answer(const struct auth_state *state, const struct auth_session *session,
                               const struct refresh_token *refresh, struct arena *arena,
                               Auth__V1__TokenResponse *response) MUST_CHECK;

#endif
