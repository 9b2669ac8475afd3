#include "services/auth/role_handlers.h"

#include <string.h>

#include "auth/queries.bh.h"
#include "common/base/strbuf.h"
#include "common/security/token.h"
#include "common/service/call.h"
#include "common/service/resource.h"
#include "services/auth/audit.h"
#include "services/auth/auth_jobs.h"
#include "services/auth/auth_peers.h"
#include "services/auth/auth_roles.h"
#include "services/auth/auth_sessions.h"
#include "services/auth/auth_state.h"
#include "services/auth/auth_transaction.h"

// ---- what callers are told ----

static enum status fail_no_role(struct call *call, const char *name)
{
  return call_fail(call, STATUS_NOT_FOUND, "ROLE_NOT_FOUND", "there is no role %s", name);
}

static struct permission_set set_of(char *const *names, size_t count)
{
  return (struct permission_set){.names = (const char **)(uintptr_t)names, .count = count};
}

// ---- reading ----

static void fill_built_in(struct call *call, const char *name, Auth__V1__Role *role)
{
  const struct auth_state *state = call_state(call);
  bool is_admin = strcmp(name, AUTH_ROLE_ADMIN) == 0;
  struct permission_set set = auth_roles_expand(&state->permissions, is_admin, true, NULL, 0, call_arena(call));
  auth__v1__role__init(role);
  role->name = (char *)(uintptr_t)name;
  role->permissions = (char **)(uintptr_t)set.names;
  role->n_permissions = set.count;
  role->built_in = true;
}

static enum status list_roles(struct call *call, const Auth__V1__ListRolesRequest *request,
                              Auth__V1__ListRolesResponse *response)
{
  (void)request;
  struct auth_state *state = call_state(call);
  struct arena *arena = call_arena(call);
  Auth__V1__Role **made = NULL;
  size_t count = 0;
  enum status status = auth_db_list_roles(query_on(state->pg), arena, &made, &count);
  if (status != STATUS_OK)
    return status;
  Auth__V1__Role *built_in = arena_array(arena, 2, sizeof(*built_in));
  fill_built_in(call, AUTH_ROLE_USER, &built_in[0]);
  fill_built_in(call, AUTH_ROLE_ADMIN, &built_in[1]);
  response->roles = arena_array(arena, count + 2, sizeof(*response->roles));
  response->roles[0] = &built_in[0];
  response->roles[1] = &built_in[1];
  for (size_t i = 0; i < count; i++)
    response->roles[i + 2] = made[i];
  response->n_roles = count + 2;
  return STATUS_OK;
}

// Fills in what an account holds, given its roles beside `user`.
static void fill_user_roles(struct call *call, const struct auth_db_get_user_roles_row *row,
                            Auth__V1__UserRoles *response)
{
  const struct auth_state *state = call_state(call);
  struct arena *arena = call_arena(call);
  char **roles = arena_array(arena, row->roles_count + 1, sizeof(*roles));
  roles[0] = arena_string(arena, SLICE(AUTH_ROLE_USER));
  for (size_t i = 0; i < row->roles_count; i++)
    roles[i + 1] = row->roles[i];
  bool is_admin = auth_roles_include((const char *const *)row->roles, row->roles_count, AUTH_ROLE_ADMIN);
  struct permission_set set = auth_roles_expand(&state->permissions, is_admin, true,
                                                (const char *const *)row->permissions, row->permissions_count, arena);
  response->roles = roles;
  response->n_roles = row->roles_count + 1;
  response->permissions = (char **)(uintptr_t)set.names;
  response->n_permissions = set.count;
}

static enum status get_user_roles(struct call *call, const Auth__V1__GetUserRolesRequest *request,
                                  Auth__V1__UserRoles *response)
{
  struct auth_state *state = call_state(call);
  struct auth_db_get_user_roles_row row;
  enum status status = auth_db_get_user_roles(query_on(state->pg), request->id, call_arena(call), &row);
  if (status == STATUS_NOT_FOUND)
    return auth_peers_fail_unknown(call, request->id);
  if (status == STATUS_OK)
    fill_user_roles(call, &row, response);
  return status;
}

// ---- roles ----

static enum status note_role(struct call *call, struct query_db db, const char *action, const char *role)
{
  const struct audit_entry entry = {.action = action, .target_id = role};
  return audit_add(call, db, &entry);
}

struct new_role {
  const Auth__V1__CreateRoleRequest *request;
  Auth__V1__Role *response;
};

// Keeps others from roles while they are counted.
static enum status create_role_in(struct call *call, struct query_db db, const void *arg)
{
  const struct new_role *role = arg;
  const Auth__V1__CreateRoleRequest *request = role->request;
  struct auth_db_count_roles_row roles;
  enum status status = auth_roles_lock(call, db, NULL);
  if (status == STATUS_OK)
    status = auth_db_count_roles(db, call_arena(call), &roles);
  if (status == STATUS_OK && roles.count >= AUTH_MOST_ROLES)
    return call_fail(call, STATUS_FAILED_PRECONDITION, "TOO_MANY_ROLES",
                     "there may be %d roles at most; delete one that is not needed", AUTH_MOST_ROLES);
  const struct auth_db_add_role_params params = {.name = request->name,
                                                 .permissions = (const char *const *)request->permissions,
                                                 .permissions_count = request->n_permissions};
  if (status == STATUS_OK)
    status = strcmp(request->name, AUTH_ROLE_USER) == 0
                 ? STATUS_ALREADY_EXISTS
                 : auth_db_add_role(db, &params, call_arena(call), role->response);
  if (status == STATUS_ALREADY_EXISTS)
    return call_fail(call, status, "ROLE_EXISTS", "there is a role %s, or it is being removed", request->name);
  return status == STATUS_OK ? note_role(call, db, "role.create", request->name) : status;
}

static enum status create_role(struct call *call, const Auth__V1__CreateRoleRequest *request, Auth__V1__Role *response)
{
  if (!auth_roles_name_valid(request->name)) {
    call_violation(call, "name", "must be a lower-case letter and up to 31 of a-z, 0-9, _ and -");
    return call_fail(call, STATUS_INVALID_ARGUMENT, "INVALID_ROLE_NAME",
                     "the name of a role is a lower-case letter and up to 31 of a-z, 0-9, _ and -");
  }
  enum status status = auth_roles_check_known(call, "permissions", request->permissions, request->n_permissions);
  const struct permission_set set = set_of(request->permissions, request->n_permissions);
  if (status == STATUS_OK)
    status = auth_roles_check_held(call, &set);
  const struct new_role role = {.request = request, .response = response};
  return status == STATUS_OK ? auth_transact(call, create_role_in, &role) : status;
}

// Finds a role that may be changed, in a transaction that keeps others from roles.
static enum status find_changeable(struct call *call, struct query_db db, const char *name,
                                   struct auth_db_find_role_row *role)
{
  if (auth_roles_is_built_in(name))
    return call_fail(call, STATUS_FAILED_PRECONDITION, "BUILT_IN_ROLE", "the role %s is built in and cannot be changed",
                     name);
  enum status status = auth_roles_lock(call, db, NULL);
  if (status == STATUS_OK)
    status = auth_db_find_role(db, name, call_arena(call), role);
  return status == STATUS_NOT_FOUND ? fail_no_role(call, name) : status;
}

// Lets the access tokens of a role's holders end.
static enum status end_holders(struct call *call, struct query_db db, const char *role)
{
  const struct job_request job = {.kind = AUTH_ROLE_JOB, .key = role};
  return jobs_add(db, &job, call_arena(call));
}

// Whether `set` lacks a permission of `other`.
static bool lacks_any(const struct permission_set *set, const struct permission_set *other)
{
  for (size_t i = 0; i < other->count; i++)
    if (!auth_roles_include((const char *const *)set->names, set->count, other->names[i]))
      return true;
  return false;
}

// Whether the update is about the permissions: without a mask it is about all fields.
static bool names_permissions(const Google__Protobuf__FieldMask *mask)
{
  for (size_t i = 0; mask != NULL && i < mask->n_paths; i++)
    if (strcmp(mask->paths[i], "permissions") == 0 || strcmp(mask->paths[i], "*") == 0)
      return true;
  return mask == NULL;
}

struct role_change {
  const Auth__V1__UpdateRoleRequest *request;
  Auth__V1__Role *response;
};

static enum status change_role(struct call *call, struct query_db db, const void *arg)
{
  const struct role_change *change = arg;
  const Auth__V1__Role *role = change->request->role;
  struct auth_db_find_role_row old = {0};
  enum status status = find_changeable(call, db, role->name, &old);
  const struct permission_set had = set_of(old.permissions, old.permissions_count);
  const struct permission_set new =
      names_permissions(change->request->update_mask) ? set_of(role->permissions, role->n_permissions) : had;
  if (status == STATUS_OK)
    status = auth_roles_check_known(call, "permissions", role->permissions, role->n_permissions);
  if (status == STATUS_OK)
    status = auth_roles_check_held(call, &new);
  if (status == STATUS_OK)
    status = auth_roles_check_held(call, &had);
  const struct auth_db_set_role_permissions_params params = {
      .permissions = (const char *const *)new.names, .permissions_count = new.count, .name = role->name};
  if (status == STATUS_OK)
    status = auth_db_set_role_permissions(db, &params, call_arena(call), change->response);
  bool loses = lacks_any(&new, &had);
  if (status == STATUS_OK && (loses || lacks_any(&had, &new)))
    status = note_role(call, db, "role.change", role->name);
  return status == STATUS_OK && loses ? end_holders(call, db, role->name) : status;
}

static enum status update_role(struct call *call, const Auth__V1__UpdateRoleRequest *request, Auth__V1__Role *response)
{
  const struct role_change change = {.request = request, .response = response};
  return auth_transact(call, change_role, &change);
}

static enum status remove_role(struct call *call, struct query_db db, const void *arg)
{
  const char *name = arg;
  struct auth_db_find_role_row old = {0};
  enum status status = find_changeable(call, db, name, &old);
  const struct permission_set had = set_of(old.permissions, old.permissions_count);
  if (status == STATUS_OK)
    status = auth_roles_check_held(call, &had);
  if (status == STATUS_OK)
    status = auth_db_begin_role_end(db, name, call_arena(call));
  if (status == STATUS_OK)
    status = note_role(call, db, "role.delete", name);
  return status == STATUS_OK ? end_holders(call, db, name) : status;
}

static enum status delete_role(struct call *call, const Auth__V1__DeleteRoleRequest *request,
                               Google__Protobuf__Empty *response)
{
  (void)response;
  return auth_transact(call, remove_role, request->name);
}

// ---- who holds them ----

// What the steps of a change of an account's roles share.
struct user_roles_change {
  struct call *call;
  struct query_db db;
  const char *user_id;
  const char *const *roles;  // wanted, beside `user`
  size_t role_count;
  struct auth_db_find_roles_row *known;  // of these roles, and of those that the account had
  size_t known_count;
  struct auth_db_get_user_roles_row old;
};

static bool had_role(const struct user_roles_change *change, const char *role)
{
  return auth_roles_include((const char *const *)change->old.roles, change->old.roles_count, role);
}

static enum status read_roles(struct user_roles_change *change)
{
  struct arena *arena = call_arena(change->call);
  size_t count = change->role_count + change->old.roles_count;
  const char **names = arena_array(arena, count, sizeof(*names));
  for (size_t i = 0; i < change->role_count; i++)
    names[i] = change->roles[i];
  for (size_t i = 0; i < change->old.roles_count; i++)
    names[change->role_count + i] = change->old.roles[i];
  const struct auth_db_find_roles_params params = {.names = names, .names_count = count};
  return auth_db_find_roles(change->db, &params, arena, &change->known, &change->known_count);
}

static const struct auth_db_find_roles_row *find_known(const struct user_roles_change *change, const char *role)
{
  for (size_t i = 0; i < change->known_count; i++)
    if (strcmp(change->known[i].name, role) == 0)
      return &change->known[i];
  return NULL;
}

static enum status fail_unknown_role(const struct user_roles_change *change, size_t index)
{
  struct call *call = change->call;
  Auth__V1__Role **made = NULL;
  size_t count = 0;
  enum status status = auth_db_list_roles(change->db, call_arena(call), &made, &count);
  if (status != STATUS_OK)
    return status;
  const char *known = AUTH_ROLE_USER ", " AUTH_ROLE_ADMIN;
  for (size_t i = 0; i < count; i++)
    known = arena_printf(call_arena(call), "%s, %s", known, made[i]->name);
  call_violation(call, arena_printf(call_arena(call), "roles[%zu]", index), "is no role");
  return call_fail(call, STATUS_INVALID_ARGUMENT, "UNKNOWN_ROLE", "there is no role %s; there are: %s",
                   change->roles[index], known);
}

// Checks that the caller may give or take a role.
static enum status check_role(const struct user_roles_change *change, const char *role)
{
  const struct auth_state *state = call_state(change->call);
  const struct auth_db_find_roles_row *known = find_known(change, role);
  // A role that is being removed holds nothing.
  if (known == NULL)
    return STATUS_OK;
  struct permission_set set = set_of(known->permissions, known->permissions_count);
  if (strcmp(role, AUTH_ROLE_ADMIN) == 0)
    set = auth_roles_expand(&state->permissions, true, true, NULL, 0, call_arena(change->call));
  return auth_roles_check_held(change->call, &set);
}

static enum status check_changes(const struct user_roles_change *change, bool *takes)
{
  enum status status = STATUS_OK;
  for (size_t i = 0; i < change->role_count && status == STATUS_OK; i++) {
    if (find_known(change, change->roles[i]) == NULL)
      return fail_unknown_role(change, i);
    if (!had_role(change, change->roles[i]))
      status = check_role(change, change->roles[i]);
  }
  *takes = false;
  for (size_t i = 0; i < change->old.roles_count && status == STATUS_OK; i++) {
    if (auth_roles_include(change->roles, change->role_count, change->old.roles[i]))
      continue;
    *takes = true;
    status = check_role(change, change->old.roles[i]);
  }
  return status;
}

// Refuses to leave the suite without an admin. Changes of roles come one after the other (lock_roles).
static enum status check_last_admin(const struct user_roles_change *change)
{
  if (!had_role(change, AUTH_ROLE_ADMIN) || auth_roles_include(change->roles, change->role_count, AUTH_ROLE_ADMIN))
    return STATUS_OK;
  return auth_roles_check_last_admin(change->call, change->db, change->user_id);
}

// Adds an event for each role that was given, and for each that was taken.
static enum status note_changes(const struct user_roles_change *change)
{
  struct audit_entry entry = {.action = "role.grant", .user_id = change->user_id};
  enum status status = STATUS_OK;
  for (size_t i = 0; i < change->role_count && status == STATUS_OK; i++) {
    entry.reason = change->roles[i];
    if (!had_role(change, entry.reason))
      status = audit_add(change->call, change->db, &entry);
  }
  entry.action = "role.revoke";
  for (size_t i = 0; i < change->old.roles_count && status == STATUS_OK; i++) {
    entry.reason = change->old.roles[i];
    if (!auth_roles_include(change->roles, change->role_count, entry.reason))
      status = audit_add(change->call, change->db, &entry);
  }
  return status;
}

static enum status store_roles(const struct user_roles_change *change, bool takes, Auth__V1__UserRoles *response)
{
  struct arena *arena = call_arena(change->call);
  const struct auth_db_set_user_roles_params params = {
      .user_id = change->user_id, .roles = change->roles, .roles_count = change->role_count};
  struct auth_db_get_user_roles_row row;
  enum status status = auth_db_set_user_roles(change->db, &params, arena);
  if (status == STATUS_OK)
    status = auth_db_get_user_roles(change->db, change->user_id, arena, &row);
  if (status == STATUS_OK && auth_roles_count_fitting(row.permissions, row.permissions_count) < row.permissions_count)
    return call_fail(change->call, STATUS_INVALID_ARGUMENT, "TOO_MANY_PERMISSIONS",
                     "these roles hold more permissions together than an access token can carry: %d at most, of %d "
                     "characters together",
                     TOKEN_MAX_PERMISSIONS, TOKEN_MAX_PERMISSION_BYTES);
  if (status == STATUS_OK)
    status = note_changes(change);
  if (status == STATUS_OK && takes)
    status = auth_sessions_end_tokens(change->db, change->user_id, arena);
  if (status == STATUS_OK)
    fill_user_roles(change->call, &row, response);
  return status;
}

// What a request to set roles asks for, and its answer.
struct role_assignment {
  const char *user_id;
  const char *const *roles;  // beside `user`
  size_t role_count;
  Auth__V1__UserRoles *response;
};

static enum status change_user_roles(struct call *call, struct query_db db, const void *arg)
{
  const struct role_assignment *asked = arg;
  struct user_roles_change change = {
      .call = call, .db = db, .user_id = asked->user_id, .roles = asked->roles, .role_count = asked->role_count};
  bool takes = false;
  enum status status = auth_roles_lock(call, db, asked->user_id);
  if (status == STATUS_OK)
    status = auth_db_get_user_roles(db, asked->user_id, call_arena(call), &change.old);
  if (status == STATUS_NOT_FOUND)
    return auth_peers_fail_unknown(call, asked->user_id);
  if (status == STATUS_OK)
    status = read_roles(&change);
  if (status == STATUS_OK)
    status = check_changes(&change, &takes);
  if (status == STATUS_OK)
    status = check_last_admin(&change);
  return status == STATUS_OK ? store_roles(&change, takes, asked->response) : status;
}

static enum status set_user_roles(struct call *call, const Auth__V1__SetUserRolesRequest *request,
                                  Auth__V1__UserRoles *response)
{
  const char **roles = arena_array(call_arena(call), request->n_roles, sizeof(*roles));
  size_t count = 0;
  for (size_t i = 0; i < request->n_roles; i++)
    if (strcmp(request->roles[i], AUTH_ROLE_USER) != 0)
      roles[count++] = request->roles[i];
  const struct role_assignment asked = {
      .user_id = request->id, .roles = roles, .role_count = count, .response = response};
  enum status status = auth_roles_cancel_stale_deletions(call);
  return status == STATUS_OK ? auth_transact(call, change_user_roles, &asked) : status;
}

const struct auth_v1_role_service_handlers auth_role_handlers = {
    .list_roles = list_roles,
    .create_role = create_role,
    .update_role = update_role,
    .delete_role = delete_role,
    .get_user_roles = get_user_roles,
    .set_user_roles = set_user_roles,
};
