// Roles: what they hold, who may give them, and what becomes of their holders' access tokens when they change. `user`
// and `admin` are built in: their permissions are what the contracts say (common/service/permissions.h).
#ifndef BULKHEAD_SERVICES_AUTH_AUTH_ROLES_H
#define BULKHEAD_SERVICES_AUTH_AUTH_ROLES_H

#include <stdbool.h>
#include <stddef.h>

#include "common/service/permissions.h"
#include "common/service/query.h"

struct auth_state;
struct call;
struct job;

#define AUTH_ROLE_ADMIN "admin"
#define AUTH_ROLE_USER "user"
#define AUTH_ROLE_NAME_MAX_BYTES 32
// How many roles there may be, so that the list of them is a short one.
#define AUTH_MOST_ROLES 500

// How many roles an account may have beside `user`, as SetUserRoles has it.
#define AUTH_MOST_ROLES_OF_ACCOUNT 8

// All permissions that there are.
struct auth_permissions {
  const struct permission *list;
  size_t count;
};

// A set of permissions by name.
struct permission_set {
  const char **names;
  size_t count;
};

// Whether a name is among these roles or permissions.
bool auth_roles_include(const char *const *names, size_t count, const char *name);
bool auth_roles_is_built_in(const char *role);
// Whether a new role may have this name.
bool auth_roles_name_valid(const char *role);

// Returns what a role and every account hold: all permissions for `admin`, for any other role `held` and, with
// `every_user`, what every account holds.
struct permission_set auth_roles_expand(const struct auth_permissions *all, bool is_admin, bool every_user,
                                        const char *const *held, size_t held_count, struct arena *arena);

// Chooses what of an account's permissions goes into its access token, beside what the roles `user` and `admin` say by
// themselves: as many as fit, in the order given.
size_t auth_roles_count_fitting(char *const *permissions, size_t count);

// Returns the first permission of the set that the caller does not hold, and so can neither give nor take. NULL where
// he holds all. A permission that the contracts no longer have counts as held.
const char *auth_roles_find_missing(struct call *call, const struct permission_set *set);

// Refuses names that are no permissions, and more than an access token can carry. `field` is the list's in the request.
enum status auth_roles_check_known(struct call *call, const char *field, char *const *names, size_t count) MUST_CHECK;
// Refuses to give or take what the caller does not hold, so that nobody can give himself, or a key, more than he has.
enum status auth_roles_check_held(struct call *call, const struct permission_set *set) MUST_CHECK;

// Begins what a caller who holds more than `user` does to roles or to an account (NULL: none): keeps others from what
// roles hold and who holds them, from the account, and from the caller's session (auth_sessions_require_live), until
// the transaction ends. NOT_FOUND where there is no such account.
enum status auth_roles_lock(struct call *call, struct query_db db, const char *user_id) MUST_CHECK;
// Refuses to act on the account of somebody who holds what the caller does not. NOT_FOUND where there is no such
// account.
enum status auth_roles_check_target(struct call *call, struct query_db db, const char *user_id) MUST_CHECK;
// Clears the deletion mark of admins whose deletion failed, so that they count again. Asks the user service, so it
// comes before a transaction that checks for the last admin.
enum status auth_roles_cancel_stale_deletions(struct call *call) MUST_CHECK;
// Refuses what would leave nobody who is admin, may sign in and is not being deleted. Comes after auth_roles_lock; the
// account is an admin's.
enum status auth_roles_check_last_admin(struct call *call, struct query_db db, const char *user_id) MUST_CHECK;

// Runs the job AUTH_ROLE_JOB, whose key is a role of which something was taken, or which is being removed: its holders'
// access tokens end, in batches; a role that is being removed is taken from them, and then is gone.
enum status auth_roles_end_holders(struct job *job) MUST_CHECK;

#endif
