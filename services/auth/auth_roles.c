#include "services/auth/auth_roles.h"

#include <string.h>

#include "auth/queries.bh.h"
#include "common/base/compiler.h"
#include "common/base/strbuf.h"
#include "common/contract/policy.h"
#include "common/security/token.h"
#include "common/service/call.h"
#include "common/service/jobs.h"
#include "common/service/service.h"
#include "services/auth/auth_peers.h"
#include "services/auth/auth_sessions.h"
#include "services/auth/auth_state.h"

// How many holders' tokens end in one statement.
#define BATCH 500
#define FIRST_ID "00000000-0000-0000-0000-000000000000"

bool auth_roles_is_built_in(const char *role)
{
  return strcmp(role, AUTH_ROLE_ADMIN) == 0 || strcmp(role, AUTH_ROLE_USER) == 0;
}

bool auth_roles_name_valid(const char *role)
{
  size_t size = strlen(role);
  if (size == 0 || size > AUTH_ROLE_NAME_MAX_BYTES || role[0] < 'a' || role[0] > 'z')
    return false;
  return strspn(role, "abcdefghijklmnopqrstuvwxyz0123456789_-") == size;
}

bool auth_roles_include(const char *const *names, size_t count, const char *name)
{
  for (size_t i = 0; i < count; i++)
    if (strcmp(names[i], name) == 0)
      return true;
  return false;
}

struct permission_set auth_roles_expand(const struct auth_permissions *all, bool is_admin, bool every_user,
                                        const char *const *held, size_t held_count, struct arena *arena)
{
  struct permission_set set = {.names = arena_array(arena, all->count, sizeof(*set.names))};
  for (size_t i = 0; i < all->count; i++) {
    const struct permission *permission = &all->list[i];
    if (is_admin || (every_user && permission->every_user) || auth_roles_include(held, held_count, permission->name))
      set.names[set.count++] = permission->name;
  }
  return set;
}

size_t auth_roles_count_fitting(char *const *permissions, size_t count)
{
  size_t bytes = 0;
  for (size_t i = 0; i < count; i++) {
    // The quotes and the comma count, too.
    bytes += strlen(permissions[i]) + 3;
    if (i == TOKEN_MAX_PERMISSIONS || bytes > TOKEN_MAX_PERMISSION_BYTES)
      return i;
  }
  return count;
}

const char *auth_roles_find_missing(struct call *call, const struct permission_set *set)
{
  const struct auth_state *state = call_state(call);
  for (size_t i = 0; i < set->count; i++) {
    const struct permission *known = permissions_find(state->permissions.list, state->permissions.count, set->names[i]);
    if (known != NULL && !call_caller_holds(call, known->name, known->every_user))
      return known->name;
  }
  return NULL;
}

// Fails for the first permission that is none, with a list of those that there are.
static enum status fail_unknown_permission(struct call *call, const char *field, const char *name, size_t index)
{
  const struct auth_state *state = call_state(call);
  struct strbuf known;
  strbuf_init(&known, 0);
  for (size_t i = 0; i < state->permissions.count; i++)
    strbuf_printf(&known, "%s%s", i == 0 ? "" : ", ", state->permissions.list[i].name);
  call_violation(call, arena_printf(call_arena(call), "%s[%zu]", field, index), "is no permission");
  enum status status = call_fail(call, STATUS_INVALID_ARGUMENT, "UNKNOWN_PERMISSION",
                                 "there is no permission %s; there are: %s", name, strbuf_cstring(&known));
  strbuf_free(&known);
  return status;
}

enum status auth_roles_check_known(struct call *call, const char *field, char *const *names, size_t count)
{
  const struct auth_state *state = call_state(call);
  for (size_t i = 0; i < count; i++)
    if (permissions_find(state->permissions.list, state->permissions.count, names[i]) == NULL)
      return fail_unknown_permission(call, field, names[i], i);
  if (auth_roles_count_fitting(names, count) == count)
    return STATUS_OK;
  return call_fail(call, STATUS_INVALID_ARGUMENT, "TOO_MANY_PERMISSIONS",
                   "these are more permissions than an access token can carry: %d at most, of %d characters together",
                   TOKEN_MAX_PERMISSIONS, TOKEN_MAX_PERMISSION_BYTES);
}

enum status auth_roles_check_held(struct call *call, const struct permission_set *set)
{
  const char *missing = auth_roles_find_missing(call, set);
  if (missing == NULL)
    return STATUS_OK;
  return call_fail(call, STATUS_PERMISSION_DENIED, "NOT_YOURS_TO_GIVE",
                   "you do not hold the permission %s, so you cannot give or take it", missing);
}

enum status auth_roles_lock(struct call *call, struct query_db db, const char *user_id)
{
  struct auth_db_lock_credential_row row;
  enum status status = auth_db_lock_roles(db, call_arena(call));
  if (status == STATUS_OK && user_id != NULL)
    status = auth_db_lock_credential(db, user_id, call_arena(call), &row);
  return status == STATUS_OK ? auth_sessions_require_live(call, db) : status;
}

enum status auth_roles_check_target(struct call *call, struct query_db db, const char *user_id)
{
  const struct auth_state *state = call_state(call);
  struct arena *arena = call_arena(call);
  struct auth_db_get_user_roles_row row;
  enum status status = auth_db_get_user_roles(db, user_id, arena, &row);
  if (status != STATUS_OK)
    return status;
  struct permission_set set = {.names = (const char **)(uintptr_t)row.permissions, .count = row.permissions_count};
  if (auth_roles_include((const char *const *)row.roles, row.roles_count, AUTH_ROLE_ADMIN))
    set = auth_roles_expand(&state->permissions, true, true, NULL, 0, arena);
  const char *missing = auth_roles_find_missing(call, &set);
  if (missing == NULL)
    return STATUS_OK;
  return call_fail(call, STATUS_PERMISSION_DENIED, "HOLDS_MORE_THAN_YOU",
                   "this account holds the permission %s, which you do not; ask an admin", missing);
}

enum status auth_roles_cancel_stale_deletions(struct call *call)
{
  const struct auth_state *state = call_state(call);
  struct arena *arena = call_arena(call);
  struct auth_db_list_stale_deletions_row *stale = NULL;
  size_t count = 0;
  enum status status = auth_db_list_stale_deletions(query_on(state->pg), arena, &stale, &count);
  for (size_t i = 0; i < count && status == STATUS_OK; i++) {
    struct account_facts account;
    // One that cannot be looked up now does not count, either.
    if (auth_peers_find_account(call, stale[i].user_id, &account) == STATUS_OK)
      status = auth_db_cancel_deletion(query_on(state->pg), stale[i].user_id, arena);
  }
  return status;
}

enum status auth_roles_check_last_admin(struct call *call, struct query_db db, const char *user_id)
{
  struct auth_db_count_other_admins_row others;
  enum status status = auth_db_count_other_admins(db, user_id, call_arena(call), &others);
  if (status != STATUS_OK || others.count > 0)
    return status;
  return call_fail(call, STATUS_FAILED_PRECONDITION, "LAST_ADMIN",
                   "this account is the only admin who is neither suspended nor being deleted; make another one first");
}

enum status auth_roles_end_holders(struct job *job)
{
  struct pg *pg = service_pg(job_service(job));
  struct arena *arena = job_arena(job);
  struct auth_db_end_holders_row row = {.last = FIRST_ID};
  enum status status;
  do {
    const struct auth_db_end_holders_params params = {.role = job_key(job), .previous_id = row.last, .most = BATCH};
    status = auth_db_end_holders(query_on(pg), &params, arena, &row);
  } while (status == STATUS_OK && row.count == BATCH);
  int64_t removed = 0;
  return status == STATUS_OK ? auth_db_remove_ended_role(query_on(pg), job_key(job), arena, &removed) : status;
}
