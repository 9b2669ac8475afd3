#include "services/auth/auth_sessions.h"

#include <stdio.h>

#include "auth/queries.bh.h"
#include "auth/v1/session_changes.pb-c.h"
#include "common/base/clock.h"
#include "common/base/codec.h"
#include "common/observe/log.h"
#include "common/service/call.h"
#include "common/service/resource.h"
#include "services/auth/audit.h"
#include "services/auth/auth_mail.h"
#include "services/auth/settings.h"

// The branches of a session that are kept beside the first one: of a hundred clients that refresh at once, each gets
// its own. Those that were used longest ago go first; many of them have never been, because their answer was lost.
#define MAX_BRANCHES 128

// All queries that give a session give the same columns.
#define SESSION_OF(row)                                                                                                \
  ((struct auth_session){.id = (row).id,                                                                               \
                         .user_id = (row).user_id,                                                                     \
                         .roles = (row).roles,                                                                         \
                         .role_count = (row).roles_count,                                                              \
                         .permissions = (row).permissions,                                                             \
                         .permission_count = (row).permissions_count,                                                  \
                         .auth_time = (row).auth_time,                                                                 \
                         .generation = (row).generation})

// ---- the beginning ----

enum status auth_sessions_begin(const struct auth_state *state, struct query_db db, const struct session_login *login,
                                struct arena *arena, struct session_grant *grant)
{
  const struct auth_settings *settings = state->settings;
  char id[UUID_TEXT_SIZE];
  uuid_v7(id);
  grant->refresh = auth_tokens_new_refresh(id, 0, NULL, arena);
  const struct auth_db_add_session_params params = {.id = id,
                                                    .user_id = login->user_id,
                                                    .password_set_us = login->password_set_us,
                                                    .factor_generation = login->factor_generation,
                                                    .token_hash = grant->refresh.hash,
                                                    .family_hash = auth_tokens_family_hash(&grant->refresh, arena),
                                                    .device_name = login->device_name,
                                                    .address = login->address,
                                                    .ttl_ms = settings->refresh_ttl_ms,
                                                    .max_age_ms = settings->session_max_age_ms};
  struct auth_db_add_session_row row;
  enum status status = auth_db_add_session(db, &params, arena, &row);
  if (status != STATUS_OK)
    return status;
  grant->session = SESSION_OF(row);
  const struct auth_db_end_surplus_sessions_params surplus = {.user_id = login->user_id,
                                                              .kept = settings->sessions_per_account};
  int64_t ended = 0;
  return auth_db_end_surplus_sessions(db, &surplus, arena, &ended);
}

// ---- a refresh ----

// What the steps of a refresh share.
struct refresh {
  const struct auth_state *state;
  const struct auth_settings *settings;
  const struct session_use *use;
  struct refresh_token spent;  // what the client has sent
  struct arena *arena;
  struct session_grant *grant;
};

static char *hash_text(struct slice hash, struct arena *arena)
{
  char *text = arena_alloc(arena, 2 * hash.size + 1);
  *hex_encode(hash.data, hash.size, text) = '\0';
  return text;
}

static enum status rotate_first_branch(const struct refresh *refresh, struct query_db db)
{
  Auth__V1__SessionRotation rotation = AUTH__V1__SESSION_ROTATION__INIT;
  rotation.session_id = (char *)(uintptr_t)refresh->spent.session_id;
  rotation.old_hash = hash_text(refresh->spent.hash, refresh->arena);
  rotation.new_hash = hash_text(refresh->grant->refresh.hash, refresh->arena);
  rotation.address = (char *)(uintptr_t)refresh->use->address;
  rotation.ttl_ms = refresh->settings->refresh_ttl_ms;
  rotation.max_age_ms = refresh->settings->session_max_age_ms;
  Auth__V1__RotatedSession row;
  enum status status = auth_db_rotate_session(db, &rotation, refresh->arena, &row);
  if (status == STATUS_OK)
    refresh->grant->session = (struct auth_session){.id = row.id,
                                                    .user_id = row.user_id,
                                                    .roles = row.roles,
                                                    .role_count = row.n_roles,
                                                    .permissions = row.permissions,
                                                    .permission_count = row.n_permissions,
                                                    .auth_time = row.auth_time,
                                                    .generation = row.generation};
  return status;
}

static enum status rotate_branch(const struct refresh *refresh, struct query_db db)
{
  const struct auth_db_rotate_branch_params params = {.new_hash = refresh->grant->refresh.hash,
                                                      .old_hash = refresh->spent.hash,
                                                      .id = refresh->spent.session_id,
                                                      .branch = refresh->spent.branch,
                                                      .address = refresh->use->address,
                                                      .ttl_ms = refresh->settings->refresh_ttl_ms,
                                                      .max_age_ms = refresh->settings->session_max_age_ms};
  struct auth_db_rotate_branch_row row;
  enum status status = auth_db_rotate_branch(db, &params, refresh->arena, &row);
  if (status == STATUS_OK)
    refresh->grant->session = SESSION_OF(row);
  return status;
}

// Begins a family with a token of a release before.
static enum status adopt_session(const struct refresh *refresh, struct query_db db)
{
  const struct auth_db_adopt_session_params params = {
      .new_hash = refresh->grant->refresh.hash,
      .old_hash = refresh->spent.hash,
      .family_hash = auth_tokens_family_hash(&refresh->grant->refresh, refresh->arena),
      .address = refresh->use->address,
      .ttl_ms = refresh->settings->refresh_ttl_ms,
      .max_age_ms = refresh->settings->session_max_age_ms,
      .id = refresh->spent.session_id};
  struct auth_db_adopt_session_row row;
  enum status status = auth_db_adopt_session(db, &params, refresh->arena, &row);
  if (status == STATUS_OK)
    refresh->grant->session = SESSION_OF(row);
  return status;
}

// Gives the client a branch of its own, because another one has just spent the token that it has sent.
static enum status add_branch(const struct refresh *refresh, const struct auth_db_lock_session_row *session,
                              struct query_db db)
{
  // The family of a token of a release before is not known here, so its branch has one of its own.
  bool knows_family = slice_equal(auth_tokens_family_hash(&refresh->spent, refresh->arena), session->family_hash);
  refresh->grant->refresh = auth_tokens_new_refresh(session->id, session->last_branch + 1,
                                                    knows_family ? refresh->spent.family : NULL, refresh->arena);
  const struct auth_db_add_branch_params params = {.address = refresh->use->address,
                                                   .ttl_ms = refresh->settings->refresh_ttl_ms,
                                                   .max_age_ms = refresh->settings->session_max_age_ms,
                                                   .id = session->id,
                                                   .new_hash = refresh->grant->refresh.hash,
                                                   .kept = MAX_BRANCHES - 1};
  struct auth_db_add_branch_row row;
  enum status status = auth_db_add_branch(db, &params, refresh->arena, &row);
  if (status == STATUS_OK)
    refresh->grant->session = SESSION_OF(row);
  return status;
}

// Ends the family of a token that was spent before, and tells the account's owner.
static enum status end_family(const struct refresh *refresh, const struct auth_db_lock_session_row *session,
                              struct query_db db)
{
  const struct auth_db_end_reused_session_params params = {.id = session->id, .user_id = session->user_id};
  int64_t ended = 0;
  enum status status = auth_db_end_reused_session(db, &params, refresh->arena, &ended);
  if (status == STATUS_OK)
    log_warn("sessions",
             "a spent refresh token was used again, so the session was ended: somebody may have stolen the token, or a "
             "client keeps old ones",
             LOG_STRING("session", session->id), LOG_STRING("userId", session->user_id),
             LOG_STRING("address", refresh->use->address));
  const struct auth_mail_notice notice = {.user_id = session->user_id,
                                          .address = slice_from_string(refresh->use->address)};
  if (status == STATUS_OK)
    status = auth_mail_tell(refresh->state, db, AUTH_MAIL_TOKEN_REUSED, &notice, refresh->arena);
  const struct audit_entry entry = {.action = "session.reuse",
                                    .failed = true,
                                    .reason = "SPENT_TOKEN",
                                    .user_id = session->user_id,
                                    .session_id = session->id};
  if (status == STATUS_OK)
    status = audit_add(refresh->use->call, db, &entry);
  return status == STATUS_OK ? STATUS_NOT_FOUND : status;
}

// Reads which token of the branch was spent last, and how long ago. NOT_FOUND for a branch that is not kept any more.
static enum status read_spent(const struct refresh *refresh, const struct auth_db_lock_session_row *session,
                              struct query_db db, struct auth_db_get_branch_row *spent)
{
  *spent = (struct auth_db_get_branch_row){session->spent_hash, session->spent_ms, session->has_spent_ms};
  if (refresh->spent.branch == 0)
    return STATUS_OK;
  const struct auth_db_get_branch_params params = {.session_id = session->id, .number = refresh->spent.branch};
  return auth_db_get_branch(db, &params, refresh->arena, spent);
}

// Decides on a token that is not the current one of its branch. NOT_FOUND where it gets nothing; with `keep` set, what
// was written is to be kept nevertheless.
static enum status judge_spent(const struct refresh *refresh, struct query_db db, bool is_legacy, bool *keep)
{
  const struct auth_db_lock_session_params params = {.id = refresh->spent.session_id,
                                                     .max_age_ms = refresh->settings->session_max_age_ms};
  struct auth_db_lock_session_row session;
  struct auth_db_get_branch_row spent;
  enum status status = auth_db_lock_session(db, &params, refresh->arena, &session);
  if (status == STATUS_OK)
    status = read_spent(refresh, &session, db, &spent);
  if (status != STATUS_OK)
    return status;
  int64_t waited_ms = (int64_t)((clock_now_us() - refresh->use->came_us) / 1000);
  bool is_latest = spent.has_spent_ms && slice_equal(spent.spent_hash, refresh->spent.hash);
  *keep = true;
  if (is_latest && spent.spent_ms <= refresh->settings->refresh_grace_ms + waited_ms)
    return add_branch(refresh, &session, db);
  if (is_legacy || slice_equal(auth_tokens_family_hash(&refresh->spent, refresh->arena), session.family_hash))
    return end_family(refresh, &session, db);
  *keep = false;
  return STATUS_NOT_FOUND;
}

// Does so in a transaction of its own: the end of a family is kept though the call fails.
static enum status recover(const struct auth_state *state, const struct refresh *refresh, bool is_legacy)
{
  struct pg_tx *tx = NULL;
  bool keep = false;
  enum status outcome = pg_begin(state->pg, &tx);
  if (outcome == STATUS_OK)
    outcome = judge_spent(refresh, query_in(tx), is_legacy, &keep);
  bool is_good = outcome == STATUS_OK || outcome == STATUS_NOT_FOUND;
  enum status committed = is_good && keep ? pg_commit(&tx) : STATUS_OK;
  pg_rollback(&tx);
  return committed == STATUS_OK ? outcome : committed;
}

enum status auth_sessions_refresh(const struct auth_state *state, const struct session_use *use, struct arena *arena,
                                  struct session_grant *grant)
{
  struct query_db db = query_on(state->pg);
  struct refresh refresh = {.state = state, .settings = state->settings, .use = use, .arena = arena, .grant = grant};
  refresh.spent = auth_tokens_read_refresh(use->token, arena);
  bool is_legacy = refresh.spent.session_id[0] == '\0';
  if (is_legacy) {
    struct auth_db_find_legacy_session_row row;
    enum status status = auth_db_find_legacy_session(db, refresh.spent.hash, arena, &row);
    if (status != STATUS_OK)
      return status;
    snprintf(refresh.spent.session_id, sizeof(refresh.spent.session_id), "%s", row.id);
  }
  grant->refresh = auth_tokens_new_refresh(refresh.spent.session_id, refresh.spent.branch,
                                           is_legacy ? NULL : refresh.spent.family, arena);
  enum status status = is_legacy                   ? adopt_session(&refresh, db)
                       : refresh.spent.branch == 0 ? rotate_first_branch(&refresh, db)
                                                   : rotate_branch(&refresh, db);
  return status == STATUS_NOT_FOUND ? recover(state, &refresh, is_legacy) : status;
}

// ---- the end ----

static enum status log_out(struct call *call, struct query_db db, const struct auth_db_log_out_params *params)
{
  struct auth_db_log_out_row ended;
  enum status status = auth_db_log_out(db, params, call_arena(call), &ended);
  if (status != STATUS_OK)
    return status;
  const struct audit_entry entry = {
      .action = "session.end", .actor_id = ended.user_id, .user_id = ended.user_id, .session_id = ended.session_id};
  return audit_add(call, db, &entry);
}

enum status auth_sessions_log_out(struct call *call, const char *text)
{
  const struct auth_state *state = call_state(call);
  struct arena *arena = call_arena(call);
  struct refresh_token token = auth_tokens_read_refresh(text, arena);
  bool is_legacy = token.session_id[0] == '\0';
  const struct auth_db_log_out_params params = {.id = is_legacy ? NULL : token.session_id,
                                                .family_hash = is_legacy ? (struct slice){0}
                                                                         : auth_tokens_family_hash(&token, arena),
                                                .token_hash = token.hash};
  struct pg_tx *tx = NULL;
  enum status status = pg_begin(state->pg, &tx);
  if (status == STATUS_OK)
    status = log_out(call, query_in(tx), &params);
  if (status == STATUS_OK)
    status = pg_commit(&tx);
  pg_rollback(&tx);
  return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

enum status auth_sessions_end_all(struct query_db db, const char *user_id, struct arena *arena)
{
  int64_t ended = 0;
  return auth_db_end_all_sessions(db, user_id, arena, &ended);
}

enum status auth_sessions_end_others(struct query_db db, const char *user_id, const char *kept_id, struct arena *arena)
{
  if (*kept_id == '\0')
    return auth_sessions_end_all(db, user_id, arena);
  const struct auth_db_end_other_sessions_params params = {.user_id = user_id, .kept_id = kept_id};
  int64_t ended = 0;
  return auth_db_end_other_sessions(db, &params, arena, &ended);
}

enum status auth_sessions_end_tokens(struct query_db db, const char *user_id, struct arena *arena)
{
  int64_t ended = 0;
  return auth_db_end_tokens(db, user_id, arena, &ended);
}

// ---- acts that outlive a session ----

enum status auth_sessions_require_live(struct call *call, struct query_db db)
{
  struct arena *arena = call_arena(call);
  const char *id = arena_string(arena, call_caller_session(call));
  const struct auth_db_hold_session_params session = {
      .id = id, .user_id = resource_caller(call), .generation = call_caller_generation(call)};
  const struct auth_db_hold_api_key_params key = {
      .id = session.id, .user_id = session.user_id, .generation = session.generation};
  struct auth_db_hold_session_row session_row;
  struct auth_db_hold_api_key_row key_row;
  // A token that names no session belongs to none.
  enum status status = *id == '\0'                    ? STATUS_NOT_FOUND
                       : call_caller_is_limited(call) ? auth_db_hold_api_key(db, &key, arena, &key_row)
                                                      : auth_db_hold_session(db, &session, arena, &session_row);
  if (status == STATUS_NOT_FOUND)
    return call_fail(call, STATUS_UNAUTHENTICATED, "TOKEN_REVOKED",
                     "the session has ended, or its account may do less now; refresh the token or log in again");
  return status;
}
