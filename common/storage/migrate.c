// Applies, reverts and lists migrations, with blocking calls on a connection of its own.
#include "common/storage/migrate.h"

#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/backoff.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/strbuf.h"
#include "common/observe/log.h"
#include "common/storage/pg_internal.h"

// A row of the list: a migration that was applied.
struct applied {
  unsigned version;
  bool same;  // its checksum is that of this program's file
  const char *at;
};

enum direction { UP, DOWN };

// How long a migration waits for a lock. Everything that wants the table queues behind it meanwhile, so it then gives
// way, and is tried again.
#define LOCK_TIMEOUT "100ms"
enum { LOCK_PAUSE_FIRST_MS = 100, LOCK_PAUSE_MAX_MS = 5000, LOCK_PATIENCE_MINUTES = 5 };

struct session {
  PGconn *conn;
  const struct migration_set *set;
  const char *list;  // the table that lists what was applied
  char *table;       // its name in SQL: quoted, with its schema
  struct error *error;
  PGresult *rows;  // keeps the strings of `applied`
  struct applied *applied;
  size_t applied_count;
  bool lock_missed;  // the last failure was a lock that could not be had
};

// Sets the error to libpq's text, cut after its first line. libpq prints no password, except within a connection string
// that it cannot parse; connect_session refuses that one earlier.
static enum status report_failure(struct session *s, const char *doing, const PGresult *result)
{
  const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
  struct slice line = slice_from_string(text != NULL ? text : PQerrorMessage(s->conn));
  line.size = slice_find(line, '\n', 0);
  s->lock_missed = sqlstate != NULL && (strcmp(sqlstate, "55P03") == 0 || strcmp(sqlstate, "40P01") == 0);
  if (sqlstate == NULL)
    return error_set(s->error, STATUS_UNAVAILABLE, "%s: " SLICE_FMT, doing, SLICE_ARG(line));
  return error_set(s->error, STATUS_INTERNAL, "%s: SQLSTATE %s: " SLICE_FMT, doing, sqlstate, SLICE_ARG(line));
}

static enum status run_sql(struct session *s, const char *doing, const char *sql)
{
  PGresult *result = PQexec(s->conn, sql);
  ExecStatusType got = PQresultStatus(result);
  enum status status = got == PGRES_COMMAND_OK || got == PGRES_TUPLES_OK ? STATUS_OK : report_failure(s, doing, result);
  PQclear(result);
  return status;
}

// Runs a statement that is put together from `before`, the quoted name of the table, and `after`.
static enum status run_on_table(struct session *s, const char *doing, const char *before, const char *after)
{
  struct strbuf sql;
  strbuf_init(&sql, 0);
  strbuf_printf(&sql, "%s%s%s", before, s->table, after);
  enum status status = run_sql(s, doing, strbuf_cstring(&sql));
  strbuf_free(&sql);
  return status;
}

// ---- opening: the lock, the schema, the table ----

static enum status connect_session(struct session *s, const char *conninfo)
{
  char *problem = NULL;
  PQconninfoOption *parsed = PQconninfoParse(conninfo, &problem);
  PQfreemem(problem);  // not shown, because it quotes the string
  if (parsed == NULL)
    return error_set(s->error, STATUS_INVALID_ARGUMENT,
                     "PostgreSQL: the connection string must be keyword=value pairs or a postgresql:// URI");
  PQconninfoFree(parsed);
  s->conn = PQconnectdb(conninfo);
  CHECK(s->conn != NULL);
  if (PQstatus(s->conn) != CONNECTION_OK)
    return report_failure(s, "PostgreSQL: cannot connect", NULL);
  pg_ignore_notices(s->conn);
  return STATUS_OK;
}

// Takes an advisory lock for the whole session, so that it spans the transactions of all migrations. The server
// releases it when the connection ends.
static enum status lock_schema(struct session *s)
{
  const char *values[] = {s->set->schema};
  PGresult *result = PQexecParams(s->conn, "SELECT pg_advisory_lock(hashtextextended('bulkhead migrate ' || $1, 0))", 1,
                                  NULL, values, NULL, NULL, 0);
  enum status status =
      PQresultStatus(result) == PGRES_TUPLES_OK ? STATUS_OK : report_failure(s, "advisory lock", result);
  PQclear(result);
  return status;
}

// Creates the schema where it does not exist. A role that owns its schema need not be allowed to create others.
static enum status create_schema(struct session *s, const char *quoted)
{
  const char *values[] = {s->set->schema};
  PGresult *result =
      PQexecParams(s->conn, "SELECT 1 FROM pg_namespace WHERE nspname = $1", 1, NULL, values, NULL, NULL, 0);
  bool there = PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1;
  PQclear(result);
  if (there)
    return STATUS_OK;
  struct strbuf sql;
  strbuf_init(&sql, 0);
  strbuf_printf(&sql, "CREATE SCHEMA IF NOT EXISTS %s", quoted);
  enum status status = run_sql(s, "schema", strbuf_cstring(&sql));
  strbuf_free(&sql);
  return status;
}

// Takes the rights to change the list from everybody but its owner: the default privileges of the schema may give them
// to the role that the service works with.
static enum status protect_list(struct session *s)
{
  struct strbuf sql;
  strbuf_init(&sql, 0);
  strbuf_printf(&sql,
                "DO $$ DECLARE other name; BEGIN FOR other IN SELECT DISTINCT grantee::regrole::text FROM pg_class,"
                " aclexplode(relacl) WHERE oid = '%s'::regclass AND grantee NOT IN (0, relowner) AND privilege_type IN"
                " ('INSERT', 'UPDATE', 'DELETE') LOOP"
                " EXECUTE 'REVOKE INSERT, UPDATE, DELETE ON %s FROM ' || other; END LOOP; END $$",
                s->table, s->table);
  enum status status = run_sql(s, s->list, strbuf_cstring(&sql));
  strbuf_free(&sql);
  return status;
}

static enum status create_list(struct session *s)
{
  enum status status = run_on_table(s, s->list, "CREATE TABLE IF NOT EXISTS ",
                                    " (version integer PRIMARY KEY, name text NOT NULL, sha256 text NOT NULL,"
                                    " applied_at timestamptz NOT NULL DEFAULT now())");
  return status == STATUS_OK ? protect_list(s) : status;
}

static enum status prepare_session(struct session *s)
{
  char *quoted = PQescapeIdentifier(s->conn, s->set->schema, strlen(s->set->schema));
  if (quoted == NULL)
    return error_set(s->error, STATUS_INVALID_ARGUMENT, "schema: the name is not valid UTF-8");
  struct strbuf text;
  strbuf_init(&text, 0);
  strbuf_printf(&text, "%s.%s", quoted, s->list);
  s->table = memory_copy_text(strbuf_slice(&text));
  strbuf_clear(&text);
  strbuf_printf(&text,
                "SET search_path = %s; SET client_encoding = 'UTF8'; SET TimeZone = 'UTC'; "
                "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0",
                quoted);
  enum status status = run_sql(s, "session", strbuf_cstring(&text));
  strbuf_free(&text);
  if (status == STATUS_OK)
    status = lock_schema(s);
  if (status == STATUS_OK)
    status = create_schema(s, quoted);
  PQfreemem(quoted);
  return status == STATUS_OK ? create_list(s) : status;
}

// ---- what is there ----

static bool is_known(const struct migration_set *set, unsigned version)
{
  return version >= 1 && version <= set->count;
}

// Compares the checksum of a text with the stored one. The server computes it, so no cryptography is needed here.
static enum status compare_checksum(struct session *s, struct slice text, const char *expected, bool *same)
{
  const char *values[] = {text.data == NULL ? "" : text.data, expected};
  const int lengths[] = {(int)text.size, (int)strlen(expected)};
  const int formats[] = {1, 1};
  PGresult *result = PQexecParams(s->conn, "SELECT encode(sha256(convert_to($1::text, 'UTF8')), 'hex') = $2::text", 2,
                                  NULL, values, lengths, formats, 0);
  enum status status = PQresultStatus(result) == PGRES_TUPLES_OK ? STATUS_OK : report_failure(s, "checksum", result);
  *same = status == STATUS_OK && PQgetvalue(result, 0, 0)[0] == 't';
  PQclear(result);
  return status;
}

static enum status read_row(struct session *s, int row)
{
  struct applied *applied = &s->applied[s->applied_count];
  uint64_t version = 0;
  if (!slice_to_uint64(slice_from_string(PQgetvalue(s->rows, row, 0)), 1, UINT32_MAX, &version))
    return error_set(s->error, STATUS_INTERNAL, "%s: version \"%s\" is not a positive number", s->list,
                     PQgetvalue(s->rows, row, 0));
  applied->version = (unsigned)version;
  applied->at = PQgetvalue(s->rows, row, 2);
  enum status status = STATUS_OK;
  if (is_known(s->set, applied->version))
    status =
        compare_checksum(s, s->set->migrations[applied->version - 1].up, PQgetvalue(s->rows, row, 1), &applied->same);
  s->applied_count++;
  return status;
}

static enum status read_applied(struct session *s)
{
  struct strbuf sql;
  strbuf_init(&sql, 0);
  strbuf_printf(
      &sql, "SELECT version, sha256, to_char(applied_at, 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') FROM %s ORDER BY version",
      s->table);
  s->rows = PQexec(s->conn, strbuf_cstring(&sql));
  strbuf_free(&sql);
  if (PQresultStatus(s->rows) != PGRES_TUPLES_OK)
    return report_failure(s, s->list, s->rows);
  int count = PQntuples(s->rows);
  s->applied = calloc((size_t)count + 1, sizeof(*s->applied));
  CHECK(s->applied != NULL);
  enum status status = STATUS_OK;
  for (int row = 0; row < count && status == STATUS_OK; row++)
    status = read_row(s, row);
  return status;
}

static enum status refuse_changed(struct session *s)
{
  for (size_t i = 0; i < s->applied_count; i++) {
    const struct applied *applied = &s->applied[i];
    if (!is_known(s->set, applied->version))
      return error_set(s->error, STATUS_FAILED_PRECONDITION,
                       "migration %04u is applied in the database but unknown here: this program is older than it",
                       applied->version);
    if (!applied->same)
      return error_set(s->error, STATUS_FAILED_PRECONDITION,
                       "%04u_%s.up.sql was changed after it was applied: undo the change and write a new migration",
                       applied->version, s->set->migrations[applied->version - 1].name);
    if (applied->version != i + 1)
      return error_set(s->error, STATUS_FAILED_PRECONDITION,
                       "migration %04zu is missing below %04u: %s was edited by hand", i + 1, applied->version,
                       s->list);
  }
  return STATUS_OK;
}

static enum status check_set(const struct migration_set *set, struct error *error)
{
  for (size_t i = 0; i < set->count; i++)
    if (set->migrations[i].version != i + 1)
      return error_set(error, STATUS_FAILED_PRECONDITION,
                       "migration %04u_%s: the numbers must go 1, 2, ... without gaps", set->migrations[i].version,
                       set->migrations[i].name);
  return STATUS_OK;
}

static void close_session(struct session *s)
{
  PQclear(s->rows);
  PQfinish(s->conn);
  free(s->applied);
  free(s->table);
}

static enum status open_session(struct session *s, const char *conninfo, const struct migration_set *set,
                                struct error *error)
{
  *s = (struct session){.set = set, .error = error, .list = set->table == NULL ? "schema_migrations" : set->table};
  enum status status = check_set(set, error);
  if (status == STATUS_OK)
    status = connect_session(s, conninfo);
  if (status == STATUS_OK)
    status = prepare_session(s);
  if (status == STATUS_OK)
    status = read_applied(s);
  return status;
}

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
  enum status status = report_failure(s, strbuf_cstring(&place), result);
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
                "INSERT INTO %s (version, name, sha256) VALUES (%u, $1,"
                " encode(sha256(convert_to($2::text, 'UTF8')), 'hex'))",
                s->table, migration->version);
  const char *values[] = {migration->name, migration->up.data == NULL ? "" : migration->up.data};
  const int lengths[] = {0, (int)migration->up.size};
  const int formats[] = {0, 1};
  PGresult *result = PQexecParams(s->conn, strbuf_cstring(&sql), 2, NULL, values, lengths, formats, 0);
  enum status status = PQresultStatus(result) == PGRES_COMMAND_OK ? STATUS_OK : report_failure(s, s->list, result);
  PQclear(result);
  strbuf_free(&sql);
  return status;
}

static enum status delete_row(struct session *s, const struct migration *migration)
{
  char after[40];
  struct strbuf text;
  strbuf_init(&text, sizeof(after));
  strbuf_printf(&text, " WHERE version = %u", migration->version);
  enum status status = run_on_table(s, s->list, "DELETE FROM ", strbuf_cstring(&text));
  strbuf_free(&text);
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
  enum status status = run_sql(s, "BEGIN", "BEGIN; SET LOCAL lock_timeout = '" LOCK_TIMEOUT "'");
  if (status == STATUS_OK)
    status = run_file(s, migration, direction);
  if (status == STATUS_OK)
    status = check_still_open(s, migration);
  if (status == STATUS_OK)
    status = direction == UP ? insert_row(s, migration) : delete_row(s, migration);
  if (status == STATUS_OK)
    return run_sql(s, "COMMIT", "COMMIT");
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

enum status migrate_up(const char *conninfo, const struct migration_set *set, size_t *applied, struct error *error)
{
  struct session session;
  *applied = 0;
  enum status status = open_session(&session, conninfo, set, error);
  if (status == STATUS_OK)
    status = refuse_changed(&session);
  for (size_t i = session.applied_count; i < set->count && status == STATUS_OK; i++) {
    status = run_migration(&session, &set->migrations[i], UP);
    *applied += status == STATUS_OK;
  }
  close_session(&session);
  return status;
}

enum status migrate_down(const char *conninfo, const struct migration_set *set, size_t steps, size_t *reverted,
                         struct error *error)
{
  struct session session;
  *reverted = 0;
  enum status status = open_session(&session, conninfo, set, error);
  if (status == STATUS_OK)
    status = refuse_changed(&session);
  for (size_t i = session.applied_count; i > 0 && *reverted < steps && status == STATUS_OK; i--) {
    status = run_migration(&session, &set->migrations[i - 1], DOWN);
    *reverted += status == STATUS_OK;
  }
  close_session(&session);
  return status;
}

static void add_line(struct strbuf *out, unsigned version, const char *name, const char *state, bool is_changed)
{
  strbuf_printf(out, "%04u  %-32s  %s%s\n", version, name, state, is_changed ? "  CHANGED" : "");
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
  enum status status = open_session(&session, conninfo, set, error);
  for (size_t i = 0; session.applied != NULL && i < session.applied_count && status == STATUS_OK; i++) {
    const struct applied *applied = &session.applied[i];
    bool known = is_known(set, applied->version);
    add_line(out, applied->version, known ? set->migrations[applied->version - 1].name : "(unknown to this program)",
             applied->at, known && !applied->same);
  }
  for (size_t i = 0; i < set->count && status == STATUS_OK; i++) {
    if (!is_applied(&session, set->migrations[i].version))
      add_line(out, set->migrations[i].version, set->migrations[i].name, "pending", false);
  }
  close_session(&session);
  return status;
}
