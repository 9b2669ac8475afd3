#include "services/auth/api_keys.h"

#include <string.h>
#include <strings.h>

#include "auth/queries.bh.h"
#include "common/base/clock.h"
#include "common/observe/log.h"
#include "common/runtime/task.h"
#include "common/security/api_key.h"
#include "common/security/key.h"
#include "common/service/call.h"
#include "common/service/resource.h"
#include "services/auth/api_key_owners.h"
#include "services/auth/audit.h"
#include "services/auth/auth_mail.h"
#include "services/auth/auth_roles.h"
#include "services/auth/auth_sessions.h"
#include "services/auth/auth_tokens.h"
#include "services/auth/auth_transaction.h"
#include "services/auth/settings.h"

// How often uses are written down, and how long that may take.
#define USES_EVERY_MS 2000
#define USES_LIMIT_MS 10000
// When a gateway asks again about a key whose account is suspended and may be resumed.
#define SUSPENDED_RETRY_MS 500

static struct slice hash_of(struct slice key, struct arena *arena)
{
  unsigned char *hash = arena_alloc(arena, API_KEY_HASH_BYTES);
  api_key_hash(key, hash);
  return slice_make(hash, API_KEY_HASH_BYTES);
}

// ---- the beginning and the end ----

struct new_api_key {
  const struct auth_db_add_api_key_params *params;
  Auth__V1__CreateApiKeyResponse *response;
};

// Whether the key is of its maker's account, and not of a service account.
static bool is_own(const struct auth_db_add_api_key_params *params)
{
  return strcmp(params->user_id, params->creator_id) == 0;
}

// Notes a new key, and tells its maker by mail, because somebody else may have used his account. He is the owner,
// except where that is a service account.
static enum status tell_of_key(struct call *call, struct query_db db, const struct auth_db_add_api_key_params *params)
{
  const struct audit_entry entry = {.action = "api_key.create", .user_id = params->user_id, .target_id = params->id};
  const struct auth_mail_notice notice = {
      .user_id = params->creator_id, .address = call_client_address(call), .detail = params->request->name};
  enum auth_mail_event event = is_own(params) ? AUTH_MAIL_API_KEY_CREATED : AUTH_MAIL_SERVICE_KEY_CREATED;
  enum status status = audit_add(call, db, &entry);
  return status == STATUS_OK ? auth_mail_tell(call_state(call), db, event, &notice, call_arena(call)) : status;
}

// Locks the accounts of the owner and the maker, in one statement, so that two such calls cannot wait for each other.
static enum status lock_accounts(struct call *call, struct query_db db, const struct auth_db_add_api_key_params *params)
{
  const struct auth_db_lock_for_api_keys_params accounts = {.user_id = params->user_id,
                                                            .creator_id = params->creator_id};
  struct auth_db_lock_for_api_keys_row *rows = NULL;
  size_t count = 0;
  enum status status = auth_db_lock_for_api_keys(db, &accounts, call_arena(call), &rows, &count);
  bool is_found = false;
  for (size_t i = 0; status == STATUS_OK && i < count; i++)
    is_found = is_found || strcasecmp(rows[i].user_id, params->user_id) == 0;
  if (status != STATUS_OK || is_found)
    return status;
  return api_key_owner_fail_unknown(call, params->user_id);
}

// Stores the key in a transaction, which keeps other keys of the account out while they are counted.
static enum status add_in(struct call *call, struct query_db db, const void *arg)
{
  const struct new_api_key *key = arg;
  const struct auth_db_add_api_key_params *params = key->params;
  // A change of roles that takes from the caller what he gives the key comes before, and is seen, or after.
  enum status status = is_own(params) ? STATUS_OK : auth_db_lock_roles(db, call_arena(call));
  if (status == STATUS_OK)
    status = lock_accounts(call, db, params);
  if (status == STATUS_OK)
    status = auth_sessions_require_live(call, db);
  if (status == STATUS_OK)
    status = auth_db_add_api_key(db, params, call_arena(call), key->response);
  if (status == STATUS_OK)
    return tell_of_key(call, db, params);
  if (status == STATUS_NOT_FOUND)
    return call_fail(call, STATUS_FAILED_PRECONDITION, "TOO_MANY_API_KEYS",
                     "the account has %lld API keys, which is the most; revoke one that is not used any more",
                     (long long)params->most);
  return status;
}

enum status api_keys_create(struct call *call, const char *user_id, const Auth__V1__CreateApiKeyRequest *request,
                            Auth__V1__CreateApiKeyResponse *response)
{
  const struct auth_state *state = call_state(call);
  struct arena *arena = call_arena(call);
  char id[UUID_TEXT_SIZE];
  char key[API_KEY_SIZE];
  uuid_v7(id);
  api_key_make(key);
  const struct auth_db_add_api_key_params params = {
      .id = id,
      .user_id = user_id,
      .creator_id = resource_caller(call),
      .request = request,
      .key_hash = hash_of(slice_make(key, API_KEY_BYTES), arena),
      .key_prefix = arena_string(arena, slice_make(key, API_KEY_SHOWN_BYTES)),
      .most = state->settings->api_keys_per_account,
  };
  enum status status = auth_transact(call, add_in, &(struct new_api_key){.params = &params, .response = response});
  if (status == STATUS_OK)
    response->key = arena_string(arena, slice_make(key, API_KEY_BYTES));
  key_erase(key, sizeof(key));
  return status;
}

// Revokes a key and notes it; of two such calls at once, one does.
static enum status revoke_in(struct call *call, struct query_db db, const void *arg)
{
  const char *id = arg, *owner_id = NULL;
  int64_t ended = 0;
  enum status status = api_key_owner_check_revoke(call, db, id, &owner_id);
  if (status == STATUS_OK)
    status = auth_db_end_api_key(db, id, call_arena(call), &ended);
  if (status != STATUS_OK || ended == 0)
    return status;
  return audit_add(call, db, &(struct audit_entry){.action = "api_key.revoke", .user_id = owner_id, .target_id = id});
}

enum status api_keys_revoke(struct call *call, const char *id)
{
  return auth_transact(call, revoke_in, id);
}

// ---- the exchange ----

// Remembers a use, which is written down later. Of more uses than there is room for, some are noted a minute later.
static void remember_use(struct auth_state *state, const char *id)
{
  struct api_key_uses *uses = &state->api_key_uses;
  for (size_t i = 0; i < uses->count; i++)
    if (strcmp(uses->ids[i], id) == 0)
      return;
  if (uses->count < API_KEY_MAX_USES)
    memcpy(uses->ids[uses->count++], id, UUID_TEXT_SIZE);
}

// Signs a token that allows what the key and its account both may, says of no login, and has no role but "user".
static enum status sign(struct auth_state *state, const struct auth_db_find_api_key_row *row, struct arena *arena,
                        struct slice *token)
{
  struct permission_set held = auth_roles_expand(&state->permissions, row->is_admin, true,
                                                 (const char *const *)row->permissions, row->permissions_count, arena);
  char **allowed = arena_array(arena, row->scopes_count, sizeof(*allowed));
  size_t count = 0;
  for (size_t i = 0; i < row->scopes_count; i++)
    if (auth_roles_include(held.names, held.count, row->scopes[i]))
      allowed[count++] = row->scopes[i];
  const struct auth_session session = {.id = row->id,
                                       .user_id = row->user_id,
                                       .permissions = allowed,
                                       .permission_count = count,
                                       .is_limited = true,
                                       .generation = row->generation,
                                       .expire_s = row->has_expire_s ? row->expire_s : 0};
  return auth_tokens_sign(state, &session, arena, token);
}

enum status api_keys_exchange(struct call *call, const char *key, struct slice *token)
{
  struct auth_state *state = call_state(call);
  struct arena *arena = call_arena(call);
  if (auth_keys_wait(&state->keys) != STATUS_OK)
    return call_fail(call, STATUS_UNAVAILABLE, "UNAVAILABLE", "the signing keys cannot be read right now");
  struct auth_db_find_api_key_row row;
  enum status status = auth_db_find_api_key(query_on(state->pg), hash_of(slice_from_string(key), arena), arena, &row);
  bool is_suspended = status == STATUS_OK && row.is_suspended;
  if (is_suspended)
    call_retry_after(call, SUSPENDED_RETRY_MS);
  if (status == STATUS_NOT_FOUND || is_suspended)
    return call_fail(call, STATUS_NOT_FOUND, "API_KEY_UNKNOWN", "the API key is unknown, revoked or expired");
  if (status == STATUS_OK)
    status = sign(state, &row, arena, token);
  if (status == STATUS_OK && row.use_is_old)
    remember_use(state, row.id);
  return status;
}

// ---- uses ----

static void write_uses(struct auth_state *state)
{
  struct api_key_uses *uses = &state->api_key_uses;
  struct arena arena;
  arena_init(&arena);
  // Uses may be remembered while the statement runs.
  size_t count = uses->count;
  const char **ids = arena_array(&arena, count, sizeof(*ids));
  for (size_t i = 0; i < count; i++)
    ids[i] = arena_string(&arena, slice_from_string(uses->ids[i]));
  uses->count = 0;
  const struct auth_db_note_api_key_uses_params params = {.ids = ids, .ids_count = count};
  enum status status = auth_db_note_api_key_uses(query_on(state->pg), &params, &arena);
  if (status != STATUS_OK)
    log_info("keys", "could not note when API keys were used; their next use is noted", LOG_INT("count", count),
             LOG_STATUS(status));
  arena_free(&arena);
}

void api_keys_run_uses(void *arg)
{
  struct auth_state *state = arg;
  while (task_sleep_ms(USES_EVERY_MS) == STATUS_OK) {
    if (state->api_key_uses.count == 0)
      continue;
    uint64_t before = task_tighten_deadline(deadline_after_ms(clock_now_us(), USES_LIMIT_MS));
    write_uses(state);
    task_restore_deadline(before);
  }
}
