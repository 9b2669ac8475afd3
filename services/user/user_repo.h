// All SQL of the user service. Ids are UUID text in lower case; everything returned lives in the caller's arena. All
// may wait.
#ifndef BULKHEAD_SERVICES_USER_USER_REPO_H
#define BULKHEAD_SERVICES_USER_USER_REPO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/status.h"
#include "common/storage/pg.h"
#include "user/v1/user.pb-c.h"

// NOT_FOUND when there is none.
enum status user_repo_get(struct pg *pg, const char *id, struct arena *arena, User__V1__User *out) MUST_CHECK;
enum status user_repo_find_by_email(struct pg *pg, const char *email, struct arena *arena,
                                    User__V1__User *out) MUST_CHECK;

// Sign-up, in two steps with the making of the credential between them.
// 1. Notes that a credential for `id` may exist without an account, until `limit_ms` from now.
enum status user_repo_begin_sign_up(struct pg *pg, const char *id, int64_t limit_ms, struct arena *arena) MUST_CHECK;
// 2. Makes the account and takes the note away, in one statement: the one moment at which the sign-up becomes true.
// ALREADY_EXISTS when the address is taken, ABORTED when the note is gone (the sign-up took too long and was swept).
enum status user_repo_finish_sign_up(struct pg *pg, const char *id, const char *email, const char *display_name,
                                     struct arena *arena, User__V1__User *out) MUST_CHECK;

// If the account is still at `etag`: ABORTED when not, or gone; ALREADY_EXISTS when the address is taken.
enum status user_repo_update(struct pg *pg, const User__V1__User *user, const char *etag, struct arena *arena,
                             User__V1__User *out) MUST_CHECK;
// Reads the account, lets `change` alter it and stores it, with the row locked: nobody else's change comes between.
// Four round trips and a connection of its own, for where user_repo_update met others. NOT_FOUND; what `change`
// returns; ALREADY_EXISTS when the address is taken.
typedef enum status user_change_fn(void *arg, User__V1__User *user);
enum status user_repo_change(struct pg *pg, const char *id, user_change_fn *change, void *arg, struct arena *arena,
                             User__V1__User *out) MUST_CHECK;
// ABORTED when the account is no more at `etag` (NULL: at any) or gone; notes in the same statement that its credential
// has to go.
enum status user_repo_delete(struct pg *pg, const char *id, const char *etag, struct arena *arena) MUST_CHECK;

// The credential of `id` is gone: takes the note away.
enum status user_repo_forget_orphan(struct pg *pg, const char *id, struct arena *arena) MUST_CHECK;
// Locks one overdue note within `tx`, so that no sign-up can finish on it meanwhile. *id is NULL when there is none.
enum status user_repo_take_due_orphan(struct pg_tx *tx, struct arena *arena, const char **id) MUST_CHECK;
enum status user_repo_remove_orphan(struct pg_tx *tx, const char *id, struct arena *arena) MUST_CHECK;
// The note is due in `pause_ms`, counted from now.
enum status user_repo_put_off_orphan(struct pg_tx *tx, const char *id, int64_t pause_ms,
                                     struct arena *arena) MUST_CHECK;

// Where a page of the list ended: the last account's create_time in microseconds since 1970, and its id; id NULL before
// the first.
struct user_place {
  int64_t micros;
  const char *id;
};
// Newest first, up to `limit` after the place.
enum status user_repo_list(struct pg *pg, const struct user_place *after, size_t limit, struct arena *arena,
                           User__V1__User **out, size_t *count) MUST_CHECK;

#endif
