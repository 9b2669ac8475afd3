#include "services/auth/auth_repo.h"

#include <string.h>

#include "common/base/codec.h"
#include "common/base/uuid.h"

static const struct pg_statement PUT_CREDENTIAL = {
    .name = "auth_put_credential",
    .sql = "INSERT INTO credentials (user_id, password_hash) VALUES ($1::uuid, $2) ON CONFLICT (user_id) DO NOTHING",
};
static const struct pg_statement DELETE_CREDENTIAL = {
    .name = "auth_delete_credential",
    .sql = "DELETE FROM credentials WHERE user_id = $1::uuid",
};
static const struct pg_statement GET_PASSWORD_HASH = {
    .name = "auth_get_password_hash",
    .sql = "SELECT password_hash FROM credentials WHERE user_id = $1::uuid",
    .read_only = true,
};
static const struct pg_statement REPLACE_PASSWORD_HASH = {
    .name = "auth_replace_password_hash",
    .sql = "UPDATE credentials SET password_hash = $3, update_time = now()"
           " WHERE user_id = $1::uuid AND password_hash = $2",
};
static const struct pg_statement GRANT_ROLE = {
    .name = "auth_grant_role",
    .sql = "INSERT INTO roles (user_id, role) VALUES ($1::uuid, $2) ON CONFLICT DO NOTHING",
};
static const struct pg_statement REVOKE_ROLE = {
    .name = "auth_revoke_role",
    .sql = "DELETE FROM roles WHERE user_id = $1::uuid AND role = $2",
};

#define ROLES_OF "ARRAY(SELECT role FROM roles WHERE roles.user_id = s.user_id ORDER BY role)"
static const struct pg_statement ADD_SESSION = {
    .name = "auth_add_session",
    .sql = "WITH s AS (INSERT INTO sessions (id, user_id, token_hash, expire_time) VALUES ($1::uuid, $2::uuid,"
           " $3, now() + $4::bigint * interval '1 millisecond') RETURNING user_id)"
           " SELECT s.user_id, " ROLES_OF " FROM s",
};
static const struct pg_statement ROTATE_SESSION = {
    .name = "auth_rotate_session",
    .sql = "WITH s AS (UPDATE sessions SET token_hash = $2, use_time = now(),"
           " expire_time = now() + $3::bigint * interval '1 millisecond'"
           " WHERE token_hash = $1 AND expire_time > now() RETURNING user_id)"
           " SELECT s.user_id, " ROLES_OF " FROM s",
};
static const struct pg_statement DELETE_SESSION = {
    .name = "auth_delete_session",
    .sql = "DELETE FROM sessions WHERE token_hash = $1",
};
static const struct pg_statement REMOVE_EXPIRED_SESSIONS = {
    .name = "auth_remove_expired_sessions",
    .sql = "DELETE FROM sessions WHERE expire_time <= now()",
    .dedicated = true,
};
static const struct pg_statement LIST_KEYS = {
    .name = "auth_list_keys",
    .sql = "SELECT kid, encode(sealed, 'hex') FROM signing_keys ORDER BY create_time DESC, kid",
    .read_only = true,
};
static const struct pg_statement LOCK_KEYS = {
    .name = "auth_lock_keys",
    .sql = "LOCK TABLE signing_keys IN EXCLUSIVE MODE",
};
static const struct pg_statement ADD_FIRST_KEY = {
    .name = "auth_add_first_key",
    .sql = "INSERT INTO signing_keys (kid, sealed) SELECT $1, $2 WHERE NOT EXISTS (SELECT FROM signing_keys)",
};

// One statement with two texts.
static enum status run_pair(struct pg *pg, const struct pg_statement *statement, const char *first, const char *second,
                            struct arena *arena, struct pg_result *result)
{
  struct pg_params params;
  pg_params_init(&params, arena);
  pg_add_text(&params, first);
  pg_add_text(&params, second);
  return pg_query(pg, statement, &params, arena, result);
}

enum status auth_repo_put_credential(struct pg *pg, const char *user_id, const char *password_hash, struct arena *arena)
{
  struct pg_result result;
  return run_pair(pg, &PUT_CREDENTIAL, user_id, password_hash, arena, &result);
}

enum status auth_repo_delete_credential(struct pg *pg, const char *user_id, struct arena *arena)
{
  struct pg_params params;
  pg_params_init(&params, arena);
  pg_add_text(&params, user_id);
  struct pg_result result;
  return pg_query(pg, &DELETE_CREDENTIAL, &params, arena, &result);
}

enum status auth_repo_get_password_hash(struct pg *pg, const char *user_id, struct arena *arena,
                                        const char **password_hash)
{
  struct pg_params params;
  pg_params_init(&params, arena);
  pg_add_text(&params, user_id);
  struct pg_result result;
  enum status status = pg_query(pg, &GET_PASSWORD_HASH, &params, arena, &result);
  if (status != STATUS_OK)
    return status;
  if (result.rows == 0)
    return STATUS_NOT_FOUND;
  *password_hash = pg_text(&result, 0, 0);
  return STATUS_OK;
}

enum status auth_repo_replace_password_hash(struct pg *pg, const char *user_id, const char *old_hash,
                                            const char *new_hash, struct arena *arena)
{
  struct pg_params params;
  pg_params_init(&params, arena);
  pg_add_text(&params, user_id);
  pg_add_text(&params, old_hash);
  pg_add_text(&params, new_hash);
  struct pg_result result;
  return pg_query(pg, &REPLACE_PASSWORD_HASH, &params, arena, &result);
}

enum status auth_repo_grant_role(struct pg *pg, const char *user_id, const char *role, struct arena *arena)
{
  struct pg_result result;
  enum status status = run_pair(pg, &GRANT_ROLE, user_id, role, arena, &result);
  // The foreign key: no credential.
  return status == STATUS_FAILED_PRECONDITION ? STATUS_NOT_FOUND : status;
}

enum status auth_repo_revoke_role(struct pg *pg, const char *user_id, const char *role, struct arena *arena)
{
  struct pg_result result;
  return run_pair(pg, &REVOKE_ROLE, user_id, role, arena, &result);
}

static enum status read_session(const struct pg_result *result, struct arena *arena, struct auth_session *out)
{
  if (result->rows == 0)
    return STATUS_NOT_FOUND;
  out->user_id = pg_text(result, 0, 0);
  return pg_text_array(result, 0, 1, arena, &out->roles, &out->role_count);
}

enum status auth_repo_add_session(struct pg *pg, const char *user_id, struct slice token_hash, int64_t ttl_ms,
                                  struct arena *arena, struct auth_session *out)
{
  char session_id[UUID_TEXT_SIZE];
  uuid_v7(session_id);
  struct pg_params params;
  pg_params_init(&params, arena);
  pg_add_slice(&params, slice_from_string(session_id));
  pg_add_text(&params, user_id);
  pg_add_bytes(&params, token_hash);
  pg_add_int(&params, ttl_ms);
  struct pg_result result;
  enum status status = pg_query(pg, &ADD_SESSION, &params, arena, &result);
  if (status == STATUS_FAILED_PRECONDITION)  // the foreign key: no credential
    return STATUS_NOT_FOUND;
  return status != STATUS_OK ? status : read_session(&result, arena, out);
}

enum status auth_repo_rotate_session(struct pg *pg, struct slice old_hash, struct slice new_hash, int64_t ttl_ms,
                                     struct arena *arena, struct auth_session *out)
{
  struct pg_params params;
  pg_params_init(&params, arena);
  pg_add_bytes(&params, old_hash);
  pg_add_bytes(&params, new_hash);
  pg_add_int(&params, ttl_ms);
  struct pg_result result;
  enum status status = pg_query(pg, &ROTATE_SESSION, &params, arena, &result);
  return status != STATUS_OK ? status : read_session(&result, arena, out);
}

enum status auth_repo_delete_session(struct pg *pg, struct slice token_hash, struct arena *arena)
{
  struct pg_params params;
  pg_params_init(&params, arena);
  pg_add_bytes(&params, token_hash);
  struct pg_result result;
  return pg_query(pg, &DELETE_SESSION, &params, arena, &result);
}

enum status auth_repo_remove_expired_sessions(struct pg *pg, struct arena *arena, int64_t *removed)
{
  struct pg_params params;
  pg_params_init(&params, arena);
  struct pg_result result;
  enum status status = pg_query(pg, &REMOVE_EXPIRED_SESSIONS, &params, arena, &result);
  *removed = status == STATUS_OK ? result.affected : 0;
  return status;
}

enum status auth_repo_list_keys(struct pg *pg, struct arena *arena, struct auth_stored_key **out, size_t *count)
{
  struct pg_params params;
  pg_params_init(&params, arena);
  struct pg_result result;
  enum status status = pg_query(pg, &LIST_KEYS, &params, arena, &result);
  if (status != STATUS_OK)
    return status;
  *count = result.rows;
  *out = arena_array(arena, result.rows, sizeof(**out));
  for (size_t row = 0; row < result.rows; row++) {
    struct slice text = pg_slice(&result, row, 1);
    char *sealed = arena_alloc(arena, text.size / 2);
    if (!hex_decode(text, sealed, text.size / 2))
      return STATUS_DATA_LOSS;
    (*out)[row] =
        (struct auth_stored_key){.kid = pg_slice(&result, row, 0), .sealed = slice_make(sealed, text.size / 2)};
  }
  return STATUS_OK;
}

static enum status add_first_key(struct pg_tx *tx, struct slice kid, struct slice sealed, struct arena *arena,
                                 bool *made)
{
  struct pg_params params;
  pg_params_init(&params, arena);
  struct pg_result result;
  enum status status = pg_tx_query(tx, &LOCK_KEYS, &params, arena, &result);
  if (status != STATUS_OK)
    return status;
  pg_add_slice(&params, kid);
  pg_add_bytes(&params, sealed);
  status = pg_tx_query(tx, &ADD_FIRST_KEY, &params, arena, &result);
  *made = status == STATUS_OK && result.affected > 0;
  return status;
}

enum status auth_repo_add_first_key(struct pg *pg, struct slice kid, struct slice sealed, struct arena *arena,
                                    bool *made)
{
  struct pg_tx *tx = NULL;
  *made = false;
  enum status status = pg_begin(pg, &tx);
  if (status == STATUS_OK)
    status = add_first_key(tx, kid, sealed, arena, made);
  if (status == STATUS_OK)
    status = pg_commit(&tx);
  pg_rollback(&tx);
  return status;
}
