#include "services/auth/auth_commands.h"

#include <stdio.h>
#include <string.h>

#include "auth/queries.bh.h"
#include "common/base/clock.h"
#include "common/base/uuid.h"
#include "common/security/token.h"
#include "services/auth/audit.h"
#include "services/auth/audit_verify.h"
#include "services/auth/auth_keys.h"
#include "services/auth/auth_peers.h"
#include "services/auth/auth_roles.h"
#include "services/auth/auth_seals.h"
#include "services/auth/auth_sessions.h"
#include "services/auth/settings.h"

// Finds the user id of an account that is named by its e-mail address or its user id.
static enum status resolve_user(struct service *service, const char *who, struct arena *arena, const char **user_id,
                                struct error *error)
{
  if (uuid_valid(slice_from_string(who))) {
    *user_id = who;
    return STATUS_OK;
  }
  enum status status = auth_peers_find_user(service, NULL, who, arena, user_id);
  if (status == STATUS_NOT_FOUND || status == STATUS_INVALID_ARGUMENT)
    return error_set(error, status, "no user has the address %s; sign up first", who);
  if (status != STATUS_OK)
    return error_set(error, status, "the user service could not be asked (%s); give the user's id instead",
                     status_name(status));
  return STATUS_OK;
}

typedef enum status change_role(struct service *service, const char *user_id, const char *role, struct arena *arena);

// What a command says when it is done.
struct outcome {
  const char *what;
  const char *when;
};

// Fails for a role that does not exist, with a list of those that do.
static enum status check_role(struct service *service, const char *role, struct arena *arena, struct error *error)
{
  struct auth_db_find_role_row found;
  enum status status = auth_db_find_role(query_on(service_pg(service)), role, arena, &found);
  Auth__V1__Role **made = NULL;
  size_t count = 0;
  if (status != STATUS_NOT_FOUND ||
      auth_db_list_roles(query_on(service_pg(service)), arena, &made, &count) != STATUS_OK)
    return status == STATUS_OK ? status
                               : error_set(error, status, "the database could not be asked: %s", status_name(status));
  const char *known = AUTH_ROLE_ADMIN;
  for (size_t i = 0; i < count; i++)
    known = arena_printf(arena, "%s, %s", known, made[i]->name);
  return error_set(error, STATUS_INVALID_ARGUMENT, "the role is %s; known is: %s", role, known);
}

static enum status change(struct service *service, char **argv, change_role *apply, const struct outcome *done,
                          struct error *error)
{
  const char *role = argv[0];
  struct arena arena;
  arena_init(&arena);
  const char *user_id = NULL;
  enum status status = check_role(service, role, &arena, error);
  if (status == STATUS_OK)
    status = resolve_user(service, argv[1], &arena, &user_id, error);
  if (status == STATUS_OK) {
    status = apply(service, user_id, role, &arena);
    if (status == STATUS_NOT_FOUND)
      (void)error_set(error, status, "there is no user %s", user_id);
    else if (status == STATUS_OUT_OF_RANGE)
      (void)error_set(error, status,
                      "with this role the account has more than an access token can carry: %d roles at most, %d "
                      "permissions of %d characters together; take one away first",
                      AUTH_MOST_ROLES_OF_ACCOUNT, TOKEN_MAX_PERMISSIONS, TOKEN_MAX_PERMISSION_BYTES);
    else if (status != STATUS_OK)
      (void)error_set(error, status, "the database refused: %s", status_name(status));
    else
      printf("%s %s %s; %s\n", user_id, done->what, role, done->when);
  }
  arena_free(&arena);
  return status;
}

static enum status note_role(struct query_db db, const char *action, const char *user_id, const char *role)
{
  const struct audit_entry entry = {.action = action, .by_command = true, .reason = role, .user_id = user_id};
  return audit_add(NULL, db, &entry);
}

// Gives a role, unless the account then has more roles, or more permissions, than its access token can carry.
static enum status give_fitting_role(struct query_db db, const struct auth_db_grant_role_params *params,
                                     struct arena *arena)
{
  struct auth_db_get_user_roles_row row;
  enum status status = auth_db_lock_roles(db, arena);
  if (status == STATUS_OK)
    status = auth_db_grant_role(db, params, arena);
  if (status == STATUS_OK)
    status = auth_db_get_user_roles(db, params->user_id, arena, &row);
  if (status != STATUS_OK)
    return status;
  bool fits = row.roles_count <= AUTH_MOST_ROLES_OF_ACCOUNT &&
              auth_roles_count_fitting(row.permissions, row.permissions_count) == row.permissions_count;
  return fits ? STATUS_OK : STATUS_OUT_OF_RANGE;
}

static enum status give_role(struct service *service, const char *user_id, const char *role, struct arena *arena)
{
  const struct auth_db_grant_role_params params = {.user_id = user_id, .role = role};
  struct pg_tx *tx = NULL;
  enum status status = pg_begin(service_pg(service), &tx);
  if (status == STATUS_OK)
    status = give_fitting_role(query_in(tx), &params, arena);
  // A violated foreign key means that the account has no credential.
  if (status == STATUS_FAILED_PRECONDITION)
    status = STATUS_NOT_FOUND;
  if (status == STATUS_OK)
    status = note_role(query_in(tx), "role.grant", user_id, role);
  if (status == STATUS_OK)
    status = pg_commit(&tx);
  pg_rollback(&tx);
  return status;
}

// Takes a role away, and ends the access tokens that say otherwise.
static enum status take_role(struct service *service, const char *user_id, const char *role, struct arena *arena)
{
  const struct auth_db_revoke_role_params params = {.user_id = user_id, .role = role};
  struct pg_tx *tx = NULL;
  enum status status = pg_begin(service_pg(service), &tx);
  if (status == STATUS_OK)
    status = auth_db_revoke_role(query_in(tx), &params, arena);
  if (status == STATUS_OK)
    status = auth_sessions_end_tokens(query_in(tx), user_id, arena);
  if (status == STATUS_OK)
    status = note_role(query_in(tx), "role.revoke", user_id, role);
  if (status == STATUS_OK)
    status = pg_commit(&tx);
  pg_rollback(&tx);
  return status;
}

static enum status grant_role(struct service *service, int argc, char **argv, struct error *error)
{
  (void)argc;
  static const struct outcome given = {"now has the role", "it holds from the user's next login or refresh on"};
  return change(service, argv, give_role, &given, error);
}

static enum status revoke_role(struct service *service, int argc, char **argv, struct error *error)
{
  (void)argc;
  static const struct outcome taken = {"no longer has the role",
                                       "access tokens that say otherwise end within a second"};
  return change(service, argv, take_role, &taken, error);
}

// ---- signing keys ----

static void describe_rotation(const struct auth_keys *keys, bool at_once)
{
  size_t latest = keys->count - 1;
  const char *kid = keys->keys[latest]->signing.kid;
  if (at_once) {
    printf("%s is the only key, and signs within two seconds. All access tokens are void: clients that get 401 refresh "
           "or log in again\n",
           kid);
    return;
  }
  char time[CLOCK_RFC3339_SIZE];
  (void)clock_format_rfc3339(keys->times[latest].sign_ms / 1000, 0, time);
  printf("%s is published, and signs from %s on; %zu keys are published, %d at most\n", kid, time, keys->count,
         TOKEN_MAX_KEYS);
}

static enum status rotate_keys(struct service *service, int argc, char **argv, struct error *error)
{
  bool at_once = argc == 1 && strcmp(argv[0], "--now") == 0;
  if (argc == 1 && !at_once)
    return error_set(error, STATUS_INVALID_ARGUMENT, "the option is %s; known is: --now", argv[0]);
  const struct auth_settings *settings = service_settings(service);
  struct auth_keys keys;
  bool changed;
  enum status status = auth_seals_check(settings, error);
  if (status == STATUS_OK)
    status = auth_keys_init(&keys, settings, error);
  if (status != STATUS_OK)
    return status;
  // What cannot open the present keys would make one that no instance can open.
  status = auth_keys_read(&keys, service_pg(service), settings, &changed, error);
  if (status == STATUS_OK)
    status = auth_keys_rotate(&keys, service_pg(service), settings, at_once, error);
  if (status == STATUS_OK)
    describe_rotation(&keys, at_once);
  auth_keys_free(&keys);
  return status;
}

const struct service_command auth_commands[AUTH_COMMAND_COUNT] = {
    {.name = "grant-role",
     .arguments = "<role> <e-mail or user id>",
     .help = "Gives an account a role; the first admin is made with it.",
     .min_arguments = 2,
     .max_arguments = 2,
     .run = grant_role},
    {.name = "revoke-role",
     .arguments = "<role> <e-mail or user id>",
     .help = "Takes a role away.",
     .min_arguments = 2,
     .max_arguments = 2,
     .run = revoke_role},
    {.name = "rotate-keys",
     .arguments = "[--now]",
     .help =
         "Publishes a new signing key, which signs after AUTH_KEY_PUBLISH; the old one is kept until its last token "
         "has expired. With --now, for a key that somebody else has, it replaces all keys within a second: every "
         "access token is void, and clients refresh.",
     .min_arguments = 0,
     .max_arguments = 1,
     .run = rotate_keys},
    {.name = "audit",
     .arguments = "verify [<position>:<hash>]",
     .help = "Proves that no event of the audit log was changed or removed since it was written, or names which were, "
             "and prints the end of the chain. Keep that line elsewhere and give it to a later run, which then proves "
             "that nothing was cut off either.",
     .min_arguments = 1,
     .max_arguments = 2,
     .run = audit_verify_run},
};
