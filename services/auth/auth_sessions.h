// Sessions: a family of refresh tokens for each login. A refresh spends a token. Of a token that was spent last, each
// client that uses it again within AUTH_REFRESH_GRACE gets a branch of the family with a next token of its own, so that
// two clients which have refreshed at once both go on for as long as they like. Every other spent token ends the
// family, because two hold what one was given.
#ifndef BULKHEAD_SERVICES_AUTH_AUTH_SESSIONS_H
#define BULKHEAD_SERVICES_AUTH_AUTH_SESSIONS_H

#include "common/service/query.h"
#include "services/auth/auth_state.h"
#include "services/auth/auth_tokens.h"

struct call;

// What a login or refresh is answered with.
struct session_grant {
  struct auth_session session;
  struct refresh_token refresh;
};

struct session_login {
  const char *user_id;
  int64_t password_set_us;    // which password was compared (get_password_hash)
  int64_t factor_generation;  // which factors were asked for (get_password_hash)
  const char *device_name;
  const char *address;
};
// Begins a session, and ends those of the account that are too many. NOT_FOUND where the account has no credential any
// more, another password or other factors.
enum status auth_sessions_begin(const struct auth_state *state, struct query_db db, const struct session_login *login,
                                struct arena *arena, struct session_grant *grant) MUST_CHECK;

struct session_use {
  struct call *call;  // for the audit log
  const char *token;
  const char *address;
  uint64_t came_us;  // when the call came; a token counts as spent for no longer than until then
};
// Spends a refresh token. NOT_FOUND where it is none that may be used; if it was spent, the session has been ended by
// then.
enum status auth_sessions_refresh(const struct auth_state *state, const struct session_use *use, struct arena *arena,
                                  struct session_grant *grant) MUST_CHECK;
// Ends the session of a refresh token, spent or not. OK for one that is not known.
enum status auth_sessions_log_out(struct call *call, const char *text) MUST_CHECK;

// ---- for whatever else ends sessions, in the caller's transaction or statement `db` ----

// Ends all sessions of a user with all of their access tokens, and changes of the address that wait to be confirmed.
enum status auth_sessions_end_all(struct query_db db, const char *user_id, struct arena *arena) MUST_CHECK;
// Ends all sessions of a user but `kept_id`, and changes of the address that wait to be confirmed, whichever session
// has asked for them: it may have ended since. Where `kept_id` is "", as auth_sessions_end_all.
enum status auth_sessions_end_others(struct query_db db, const char *user_id, const char *kept_id,
                                     struct arena *arena) MUST_CHECK;
// Refuses the access tokens that the user has, for example because his roles are fewer now. His sessions go on: a
// refresh gives tokens with the present roles.
enum status auth_sessions_end_tokens(struct query_db db, const char *user_id, struct arena *arena) MUST_CHECK;

// ---- for acts that outlive a session ----

// Requires that the caller's session or API key is live, and keeps it from ending until the transaction `db` does.
// Fails the call with UNAUTHENTICATED where it has ended, or where the caller's token is of an earlier generation than
// the account's tokens are now: gateways take such tokens until they have heard of that. Comes after the locks that the
// transaction takes of accounts and roles: whatever ends sessions for good locks the account first, and what takes a
// role locks all roles.
enum status auth_sessions_require_live(struct call *call, struct query_db db) MUST_CHECK;

#endif
