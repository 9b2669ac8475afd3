// Applies, reverts and lists migrations, with blocking calls on a connection of its own.
#include "common/storage/migrate.h"

#include <string.h>
#include <time.h>

#include "common/base/backoff.h"
#include "common/base/clock.h"
#include "common/base/strbuf.h"
#include "common/observe/log.h"
#include "common/storage/migrate_internal.h"

enum direction { UP, DOWN };

// How long a migration waits for a lock. Everything that wants the table queues behind it meanwhile, so it then gives
// way, and is tried again.
#define LOCK_TIMEOUT "100ms"
enum { LOCK_PAUSE_FIRST_MS = 100, LOCK_PAUSE_MAX_MS = 5000, LOCK_PATIENCE_MINUTES = 5 };

// ---- running one ----

// Finds the line of a position, which the server counts in characters from 1.
static size_t find_line(struct slice sql, const char *position)
{
  uint64_t character = 0;
  if (position == NULL || !slice_to_uint64(slice_from_string(position), 1, UINT32_MAX, &character))
    return 0;
  size_t line = 1;
  for (size_t i = 0; i < sql.size && character > 1; i++) {
    line += sql.data[i] == '\n';
    // Bytes that continue a UTF-8 character are not counted.
    size_t next = i + 1;
    character -= next >= sql.size || ((unsigned char)sql.data[next] & 0xC0) != 0x80;
  }
  return line;
}

static enum status report_file_failure(struct session *s, const struct migration *migration, enum direction direction,
                                       const PGresult *result)
{
  size_t line = find_line(direction == UP ? migration->up : migration->down,
                          PQresultErrorField(result, PG_DIAG_STATEMENT_POSITION));
  struct strbuf place;
  strbuf_init(&place, 0);
  strbuf_printf(&place, "%04u_%s.%s.sql", migration->version, migration->name, direction == UP ? "up" : "down");
  if (line > 0)
    strbuf_printf(&place, ":%zu", line);
  enum status status = migrate_report_failure(s, strbuf_cstring(&place), result);
  strbuf_free(&place);
  return status;
}

static enum status run_file(struct session *s, const struct migration *migration, enum direction direction)
{
  struct strbuf text;
  strbuf_init(&text, 0);
  strbuf_add(&text, direction == UP ? migration->up : migration->down);
  PGresult *result = PQexec(s->conn, strbuf_cstring(&text));
  strbuf_free(&text);
  ExecStatusType got = PQresultStatus(result);
  bool good = got == PGRES_COMMAND_OK || got == PGRES_TUPLES_OK || got == PGRES_EMPTY_QUERY;
  enum status status = good ? STATUS_OK : report_file_failure(s, migration, direction, result);
  PQclear(result);
  return status;
}

static enum status insert_row(struct session *s, const struct migration *migration)
{
  struct strbuf sql;
  strbuf_init(&sql, 0);
  strbuf_printf(&sql,
                "INSERT INTO %s (version, name, sha256, compatible_from) VALUES (%u, $1,"
                " encode(sha256(convert_to($2::text, 'UTF8')), 'hex'), nullif(%u, 0))",
                s->table, migration->version, migration->compatible_from);
  const char *values[] = {migration->name, migration->up.data == NULL ? "" : migration->up.data};
  const int lengths[] = {0, (int)migration->up.size};
  const int formats[] = {0, 1};
  PGresult *result = PQexecParams(s->conn, strbuf_cstring(&sql), 2, NULL, values, lengths, formats, 0);
  enum status status =
      PQresultStatus(result) == PGRES_COMMAND_OK ? STATUS_OK : migrate_report_failure(s, s->list, result);
  PQclear(result);
  strbuf_free(&sql);
  return status;
}

static enum status delete_row(struct session *s, const struct migration *migration)
{
  struct strbuf sql;
  strbuf_init(&sql, 0);
  strbuf_printf(&sql, "DELETE FROM %s WHERE version = %u", s->table, migration->version);
  enum status status = migrate_run_sql(s, s->list, strbuf_cstring(&sql));
  strbuf_free(&sql);
  return status;
}

// Refuses a file that ended our transaction, because a failure would leave half of it behind.
static enum status check_still_open(struct session *s, const struct migration *migration)
{
  if (PQtransactionStatus(s->conn) == PQTRANS_INTRANS)
    return STATUS_OK;
  return error_set(
      s->error, STATUS_FAILED_PRECONDITION,
      "%04u_%s: a migration must not contain BEGIN, COMMIT or ROLLBACK, because each runs in one transaction",
      migration->version, migration->name);
}

static enum status try_migration(struct session *s, const struct migration *migration, enum direction direction)
{
  s->lock_missed = false;
  enum status status = migrate_run_sql(s, "BEGIN", "BEGIN; SET LOCAL lock_timeout = '" LOCK_TIMEOUT "'");
  if (status == STATUS_OK)
    status = run_file(s, migration, direction);
  if (status == STATUS_OK)
    status = check_still_open(s, migration);
  if (status == STATUS_OK)
    status = direction == UP ? insert_row(s, migration) : delete_row(s, migration);
  if (status == STATUS_OK)
    return migrate_run_sql(s, "COMMIT", "COMMIT");
  PQclear(PQexec(s->conn, "ROLLBACK"));
  return status;
}

static void pause_for_lock(const struct migration *migration, uint32_t pause_ms)
{
  log_warn("migrate",
           "a table that a migration changes is in use by a transaction; the migration gives way and is tried again",
           LOG_INT("version", migration->version), LOG_STRING("name", migration->name), LOG_INT("retryMs", pause_ms));
  const struct timespec pause = {.tv_sec = pause_ms / 1000, .tv_nsec = (long)(pause_ms % 1000) * 1000000};
  (void)nanosleep(&pause, NULL);
}

static enum status run_migration(struct session *s, const struct migration *migration, enum direction direction)
{
  uint64_t end_us = deadline_after_ms(clock_now_us(), LOCK_PATIENCE_MINUTES * UINT64_C(60000));
  uint32_t pause_ms = 0;
  enum status status = try_migration(s, migration, direction);
  while (s->lock_missed && clock_now_us() < end_us) {
    pause_for_lock(migration, backoff_next_ms(&pause_ms, LOCK_PAUSE_FIRST_MS, LOCK_PAUSE_MAX_MS));
    status = try_migration(s, migration, direction);
  }
  if (s->lock_missed)
    return error_set(
        s->error, STATUS_UNAVAILABLE,
        "%04u_%s: a table that it changes was in use for %d minutes; find the transaction that holds it in "
        "pg_stat_activity and pg_locks, end it, and migrate again",
        migration->version, migration->name, LOCK_PATIENCE_MINUTES);
  return status;
}

// ---- the commands ----

// Refuses what this program cannot run with, and says so where the schema is newer than this program.
static enum status judge_list(struct session *s)
{
  enum status status = migrate_refuse_incompatible(s);
  const struct applied *newest = migrate_newest_unknown(s);
  if (status == STATUS_OK && newest != NULL)
    log_info("migrate", "the schema is newer than this release; its migrations say that this release can run with it",
             LOG_STRING("schema", s->set->schema), LOG_STRING("list", s->list),
             LOG_INT("schemaVersion", newest->version), LOG_INT("releaseVersion", s->set->count));
  return status;
}

enum status migrate_check(const char *conninfo, const struct migration_set *set, struct error *error)
{
  struct session session;
  enum status status = migrate_open_reader(&session, conninfo, set, error);
  if (status == STATUS_OK)
    status = judge_list(&session);
  if (status == STATUS_OK && session.applied_count < set->count)
    status = error_set(error, STATUS_UNAVAILABLE,
                       "schema %s lacks %04u_%s and what follows it; apply it by `migrate up` or set MIGRATE_ON_START",
                       set->schema, set->migrations[session.applied_count].version,
                       set->migrations[session.applied_count].name);
  migrate_close_session(&session);
  return status;
}

// Refuses to revert what only a later release can revert.
static enum status refuse_unknown(struct session *s)
{
  const struct applied *newest = migrate_newest_unknown(s);
  if (newest == NULL)
    return STATUS_OK;
  return error_set(s->error, STATUS_FAILED_PRECONDITION,
                   "migration %04u_%s is applied and unknown to this release, whose last is %04zu; a release that has "
                   "the migration must revert it first",
                   newest->version, newest->name, s->set->count);
}

enum status migrate_up(const char *conninfo, const struct migration_set *set, size_t *applied, struct error *error)
{
  struct session session;
  *applied = 0;
  enum status status = migrate_open_session(&session, conninfo, set, error);
  if (status == STATUS_OK)
    status = migrate_refuse_changed(&session);
  if (status == STATUS_OK)
    status = judge_list(&session);
  for (size_t i = session.applied_count; i < set->count && status == STATUS_OK; i++) {
    status = run_migration(&session, &set->migrations[i], UP);
    *applied += status == STATUS_OK;
  }
  migrate_close_session(&session);
  return status;
}

enum status migrate_down(const char *conninfo, const struct migration_set *set, size_t steps, size_t *reverted,
                         struct error *error)
{
  struct session session;
  *reverted = 0;
  enum status status = migrate_open_session(&session, conninfo, set, error);
  if (status == STATUS_OK)
    status = migrate_refuse_changed(&session);
  if (status == STATUS_OK)
    status = refuse_unknown(&session);
  for (size_t i = session.applied_count; i > 0 && *reverted < steps && status == STATUS_OK; i--) {
    status = run_migration(&session, &set->migrations[i - 1], DOWN);
    *reverted += status == STATUS_OK;
  }
  migrate_close_session(&session);
  return status;
}

static void add_line(struct strbuf *out, unsigned version, const char *name, const char *state, const char *note)
{
  strbuf_printf(out, "%04u  %-32s  %s%s\n", version, name, state, note);
}

static bool is_applied(const struct session *s, unsigned version)
{
  for (size_t i = 0; s->applied != NULL && i < s->applied_count; i++)
    if (s->applied[i].version == version)
      return true;
  return false;
}

enum status migrate_status(const char *conninfo, const struct migration_set *set, struct strbuf *out,
                           struct error *error)
{
  struct session session;
  enum status status = migrate_open_session(&session, conninfo, set, error);
  for (size_t i = 0; session.applied != NULL && i < session.applied_count && status == STATUS_OK; i++) {
    const struct applied *applied = &session.applied[i];
    bool known = migrate_is_known(set, applied->version);
    const char *note = known ? applied->same ? "" : "  CHANGED" : "  of a later release";
    add_line(out, applied->version, known ? set->migrations[applied->version - 1].name : applied->name, applied->at,
             note);
  }
  for (size_t i = 0; i < set->count && status == STATUS_OK; i++) {
    if (!is_applied(&session, set->migrations[i].version))
      add_line(out, set->migrations[i].version, set->migrations[i].name, "pending", "");
  }
  migrate_close_session(&session);
  return status;
}
