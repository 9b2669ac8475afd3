// All SQL of the auth service. Ids are UUID text; everything returned lives in the caller's arena. All may wait.
#ifndef BULKHEAD_SERVICES_AUTH_AUTH_REPO_H
#define BULKHEAD_SERVICES_AUTH_AUTH_REPO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/slice.h"
#include "common/base/status.h"
#include "common/storage/pg.h"

// Credentials. An account that has one keeps its first when it is put again (a repeated call), so that a late
// repetition cannot take a password back.
enum status auth_repo_put_credential(struct pg *pg, const char *user_id, const char *password_hash,
                                     struct arena *arena) MUST_CHECK;
// Sessions and roles go with it. None is no error.
enum status auth_repo_delete_credential(struct pg *pg, const char *user_id, struct arena *arena) MUST_CHECK;
// NOT_FOUND when the account has none.
enum status auth_repo_get_password_hash(struct pg *pg, const char *user_id, struct arena *arena,
                                        const char **password_hash) MUST_CHECK;
// If the hash is still `old_hash`.
enum status auth_repo_replace_password_hash(struct pg *pg, const char *user_id, const char *old_hash,
                                            const char *new_hash, struct arena *arena) MUST_CHECK;

// Roles; granting one twice or revoking one that is not held is no error. NOT_FOUND when the account has no credential.
enum status auth_repo_grant_role(struct pg *pg, const char *user_id, const char *role, struct arena *arena) MUST_CHECK;
enum status auth_repo_revoke_role(struct pg *pg, const char *user_id, const char *role, struct arena *arena) MUST_CHECK;

// Whose session it is, with the roles of now.
struct auth_session {
  const char *user_id;
  char **roles;
  size_t role_count;
};
// A new one. NOT_FOUND when the account has no credential any more.
enum status auth_repo_add_session(struct pg *pg, const char *user_id, struct slice token_hash, int64_t ttl_ms,
                                  struct arena *arena, struct auth_session *out) MUST_CHECK;
// The session of the token `old_hash` now has the token `new_hash`, in one statement: of two that come with the same
// token, one wins. NOT_FOUND when no live session has it.
enum status auth_repo_rotate_session(struct pg *pg, struct slice old_hash, struct slice new_hash, int64_t ttl_ms,
                                     struct arena *arena, struct auth_session *out) MUST_CHECK;
enum status auth_repo_delete_session(struct pg *pg, struct slice token_hash, struct arena *arena) MUST_CHECK;
enum status auth_repo_remove_expired_sessions(struct pg *pg, struct arena *arena, int64_t *removed) MUST_CHECK;

struct auth_stored_key {
  struct slice kid;
  struct slice sealed;
};
// Newest first.
enum status auth_repo_list_keys(struct pg *pg, struct arena *arena, struct auth_stored_key **out,
                                size_t *count) MUST_CHECK;
// Stores it if there is none at all (*made says whether): of several instances that start together one wins.
enum status auth_repo_add_first_key(struct pg *pg, struct slice kid, struct slice sealed, struct arena *arena,
                                    bool *made) MUST_CHECK;

#endif
