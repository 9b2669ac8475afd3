#include "services/user/user_repo.h"

#include "common/service/resource.h"

#define COLUMNS                                                                                                        \
  "id, email, display_name, revision, (extract(epoch FROM create_time) * 1000000)::bigint,"                            \
  " (extract(epoch FROM update_time) * 1000000)::bigint"
enum column { COLUMN_ID, COLUMN_EMAIL, COLUMN_DISPLAY_NAME, COLUMN_REVISION, COLUMN_CREATE_TIME, COLUMN_UPDATE_TIME };

static const struct pg_statement GET = {
    .name = "user_get",
    .sql = "SELECT " COLUMNS " FROM users WHERE id = $1::uuid",
    .read_only = true,
};
static const struct pg_statement FIND_BY_EMAIL = {
    .name = "user_find_by_email",
    .sql = "SELECT " COLUMNS " FROM users WHERE lower(email) = lower($1)",
    .read_only = true,
};
static const struct pg_statement BEGIN_SIGN_UP = {
    .name = "user_begin_sign_up",
    .sql = "INSERT INTO orphan_credentials (user_id, due_time)"
           " VALUES ($1::uuid, now() + $2::bigint * interval '1 millisecond')",
};
static const struct pg_statement FINISH_SIGN_UP = {
    .name = "user_finish_sign_up",
    .sql = "WITH note AS (DELETE FROM orphan_credentials WHERE user_id = $1::uuid RETURNING user_id)"
           " INSERT INTO users (id, email, display_name) SELECT user_id, $2, $3 FROM note RETURNING " COLUMNS,
};
static const struct pg_statement UPDATE = {
    .name = "user_update",
    .sql = "UPDATE users SET email = $3, display_name = $4, revision = revision + 1,"
           " update_time = greatest(clock_timestamp(), update_time)"
           " WHERE id = $1::uuid AND revision = $2::bigint RETURNING " COLUMNS,
};
static const struct pg_statement LOCK = {
    .name = "user_lock",
    .sql = "SELECT " COLUMNS " FROM users WHERE id = $1::uuid FOR UPDATE",
};
static const struct pg_statement DELETE_ONE = {
    .name = "user_delete",
    .sql = "WITH gone AS (DELETE FROM users WHERE id = $1::uuid AND revision = coalesce($2::bigint, revision)"
           " RETURNING id)"
           " INSERT INTO orphan_credentials (user_id, due_time) SELECT id, now() FROM gone",
};
static const struct pg_statement FORGET_ORPHAN = {
    .name = "user_forget_orphan",
    .sql = "DELETE FROM orphan_credentials WHERE user_id = $1::uuid",
};
static const struct pg_statement TAKE_DUE_ORPHAN = {
    .name = "user_take_due_orphan",
    .sql = "SELECT user_id FROM orphan_credentials WHERE due_time <= now() ORDER BY due_time LIMIT 1"
           " FOR UPDATE SKIP LOCKED",
};
static const struct pg_statement PUT_OFF_ORPHAN = {
    .name = "user_put_off_orphan",
    .sql = "UPDATE orphan_credentials SET due_time = clock_timestamp() + $2::bigint * interval '1 millisecond'"
           " WHERE user_id = $1::uuid",
};
static const struct pg_statement LIST_FIRST = {
    .name = "user_list_first",
    .sql = "SELECT " COLUMNS " FROM users ORDER BY create_time DESC, id DESC LIMIT $1::bigint",
    .read_only = true,
};
static const struct pg_statement LIST_AFTER = {
    .name = "user_list_after",
    .sql = "SELECT " COLUMNS " FROM users"
           " WHERE (create_time, id) < (timestamptz 'epoch' + $2::bigint * interval '1 microsecond', $3::uuid)"
           " ORDER BY create_time DESC, id DESC LIMIT $1::bigint",
    .read_only = true,
};

static void read_row(const struct pg_result *result, size_t row, struct arena *arena, User__V1__User *user)
{
  user__v1__user__init(user);
  user->id = resource_text(result, row, COLUMN_ID);
  user->email = resource_text(result, row, COLUMN_EMAIL);
  user->display_name = resource_text(result, row, COLUMN_DISPLAY_NAME);
  user->etag = resource_text(result, row, COLUMN_REVISION);
  user->create_time = resource_time(pg_int(result, row, COLUMN_CREATE_TIME), arena);
  user->update_time = resource_time(pg_int(result, row, COLUMN_UPDATE_TIME), arena);
}

static enum status read_one(const struct pg_result *result, enum status missing, struct arena *arena,
                            User__V1__User *out)
{
  if (result->rows == 0)
    return missing;
  read_row(result, 0, arena, out);
  return STATUS_OK;
}

// A statement that returns the one row of an account; `missing` where it returns none.
static enum status query_one(struct pg *pg, const struct pg_statement *statement, const struct pg_params *params,
                             enum status missing, User__V1__User *out)
{
  struct pg_result result;
  enum status status = pg_query(pg, statement, params, params->arena, &result);
  return status != STATUS_OK ? status : read_one(&result, missing, params->arena, out);
}

static enum status query_one_in(struct pg_tx *tx, const struct pg_statement *statement, const struct pg_params *params,
                                enum status missing, User__V1__User *out)
{
  struct pg_result result;
  enum status status = pg_tx_query(tx, statement, params, params->arena, &result);
  return status != STATUS_OK ? status : read_one(&result, missing, params->arena, out);
}

enum status user_repo_get(struct pg *pg, const char *id, struct arena *arena, User__V1__User *out)
{
  struct pg_params params;
  pg_params_init(&params, arena);
  pg_add_text(&params, id);
  return query_one(pg, &GET, &params, STATUS_NOT_FOUND, out);
}

enum status user_repo_find_by_email(struct pg *pg, const char *email, struct arena *arena, User__V1__User *out)
{
  struct pg_params params;
  pg_params_init(&params, arena);
  pg_add_text(&params, email);
  return query_one(pg, &FIND_BY_EMAIL, &params, STATUS_NOT_FOUND, out);
}

enum status user_repo_begin_sign_up(struct pg *pg, const char *id, int64_t limit_ms, struct arena *arena)
{
  struct pg_params params;
  pg_params_init(&params, arena);
  pg_add_text(&params, id);
  pg_add_int(&params, limit_ms);
  struct pg_result result;
  return pg_query(pg, &BEGIN_SIGN_UP, &params, arena, &result);
}

enum status user_repo_finish_sign_up(struct pg *pg, const char *id, const char *email, const char *display_name,
                                     struct arena *arena, User__V1__User *out)
{
  struct pg_params params;
  pg_params_init(&params, arena);
  pg_add_text(&params, id);
  pg_add_text(&params, email);
  pg_add_text(&params, display_name);
  return query_one(pg, &FINISH_SIGN_UP, &params, STATUS_ABORTED, out);
}

static void make_update_params(struct pg_params *params, const User__V1__User *user, const char *etag,
                               struct arena *arena)
{
  pg_params_init(params, arena);
  pg_add_text(params, user->id);
  pg_add_text(params, etag);
  pg_add_text(params, user->email);
  pg_add_text(params, user->display_name);
}

enum status user_repo_update(struct pg *pg, const User__V1__User *user, const char *etag, struct arena *arena,
                             User__V1__User *out)
{
  struct pg_params params;
  make_update_params(&params, user, etag, arena);
  return query_one(pg, &UPDATE, &params, STATUS_ABORTED, out);
}

enum status user_repo_change(struct pg *pg, const char *id, user_change_fn *change, void *arg, struct arena *arena,
                             User__V1__User *out)
{
  struct pg_tx *tx = NULL;
  User__V1__User user = USER__V1__USER__INIT;
  struct pg_params params;
  pg_params_init(&params, arena);
  pg_add_text(&params, id);
  enum status status = pg_begin(pg, &tx);
  if (status == STATUS_OK)
    status = query_one_in(tx, &LOCK, &params, STATUS_NOT_FOUND, &user);
  if (status == STATUS_OK)
    status = change(arg, &user);
  if (status == STATUS_OK) {
    make_update_params(&params, &user, user.etag, arena);
    status = query_one_in(tx, &UPDATE, &params, STATUS_ABORTED, out);
  }
  if (status == STATUS_OK)
    status = pg_commit(&tx);
  pg_rollback(&tx);
  return status;
}

enum status user_repo_delete(struct pg *pg, const char *id, const char *etag, struct arena *arena)
{
  struct pg_params params;
  pg_params_init(&params, arena);
  pg_add_text(&params, id);
  pg_add_text(&params, etag);
  struct pg_result result;
  enum status status = pg_query(pg, &DELETE_ONE, &params, arena, &result);
  if (status != STATUS_OK)
    return status;
  return result.affected == 0 ? STATUS_ABORTED : STATUS_OK;
}

enum status user_repo_forget_orphan(struct pg *pg, const char *id, struct arena *arena)
{
  struct pg_params params;
  pg_params_init(&params, arena);
  pg_add_text(&params, id);
  struct pg_result result;
  return pg_query(pg, &FORGET_ORPHAN, &params, arena, &result);
}

enum status user_repo_take_due_orphan(struct pg_tx *tx, struct arena *arena, const char **id)
{
  struct pg_params params;
  pg_params_init(&params, arena);
  struct pg_result result;
  *id = NULL;
  enum status status = pg_tx_query(tx, &TAKE_DUE_ORPHAN, &params, arena, &result);
  if (status == STATUS_OK && result.rows > 0)
    *id = pg_text(&result, 0, 0);
  return status;
}

enum status user_repo_remove_orphan(struct pg_tx *tx, const char *id, struct arena *arena)
{
  struct pg_params params;
  pg_params_init(&params, arena);
  pg_add_text(&params, id);
  struct pg_result result;
  return pg_tx_query(tx, &FORGET_ORPHAN, &params, arena, &result);
}

enum status user_repo_put_off_orphan(struct pg_tx *tx, const char *id, int64_t pause_ms, struct arena *arena)
{
  struct pg_params params;
  pg_params_init(&params, arena);
  pg_add_text(&params, id);
  pg_add_int(&params, pause_ms);
  struct pg_result result;
  return pg_tx_query(tx, &PUT_OFF_ORPHAN, &params, arena, &result);
}

enum status user_repo_list(struct pg *pg, const struct user_place *after, size_t limit, struct arena *arena,
                           User__V1__User **out, size_t *count)
{
  struct pg_params params;
  pg_params_init(&params, arena);
  pg_add_int(&params, (int64_t)limit);
  if (after->id != NULL) {
    pg_add_int(&params, after->micros);
    pg_add_text(&params, after->id);
  }
  struct pg_result result;
  enum status status = pg_query(pg, after->id == NULL ? &LIST_FIRST : &LIST_AFTER, &params, arena, &result);
  if (status != STATUS_OK)
    return status;
  *count = result.rows;
  *out = arena_array(arena, result.rows, sizeof(**out));
  for (size_t row = 0; row < result.rows; row++)
    read_row(&result, row, arena, &(*out)[row]);
  return STATUS_OK;
}
