// Opens the session of a migration: connects, takes the lock, and reads and judges the list of what was applied.
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/memory.h"
#include "common/base/strbuf.h"
#include "common/storage/migrate_internal.h"
#include "common/storage/pg_internal.h"
#include "common/storage/pg_sqlstate_internal.h"

#define INSUFFICIENT_PRIVILEGE "42501"

// Judges a failure: UNAVAILABLE for what passes by itself, which is a server that shuts down or has no connection left,
// a lock that others hold, a limit of time.
static enum status judge_sqlstate(const char *sqlstate)
{
  switch (pg_sqlstate_status(sqlstate)) {
  case STATUS_UNAVAILABLE:
  case STATUS_ABORTED:
  case STATUS_DEADLINE_EXCEEDED:
    return STATUS_UNAVAILABLE;
  default:
    return strcmp(sqlstate, INSUFFICIENT_PRIVILEGE) == 0 ? STATUS_PERMISSION_DENIED : STATUS_INTERNAL;
  }
}

// libpq prints no password, except within a connection string that it cannot parse; connect_session refuses that one
// earlier.
enum status migrate_report_failure(struct session *s, const char *doing, const PGresult *result)
{
  const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
  struct slice line = slice_from_string(text != NULL ? text : PQerrorMessage(s->conn));
  line.size = slice_find(line, '\n', 0);
  s->lock_missed = sqlstate != NULL && (strcmp(sqlstate, "55P03") == 0 || strcmp(sqlstate, "40P01") == 0);
  if (sqlstate == NULL)
    return error_set(s->error, STATUS_UNAVAILABLE, "%s: " SLICE_FMT, doing, SLICE_ARG(line));
  return error_set(s->error, judge_sqlstate(sqlstate), "%s: SQLSTATE %s: " SLICE_FMT, doing, sqlstate, SLICE_ARG(line));
}

enum status migrate_run_sql(struct session *s, const char *doing, const char *sql)
{
  PGresult *result = PQexec(s->conn, sql);
  ExecStatusType got = PQresultStatus(result);
  enum status status =
      got == PGRES_COMMAND_OK || got == PGRES_TUPLES_OK ? STATUS_OK : migrate_report_failure(s, doing, result);
  PQclear(result);
  return status;
}

// Runs a statement that is put together from `before`, the quoted name of the table, and `after`.
static enum status run_format(struct session *s, const char *doing, const char *format, ...) PRINTF_LIKE(3, 4);

// Runs SQL that is made as printf does.
static enum status run_format(struct session *s, const char *doing, const char *format, ...)
{
  struct strbuf sql;
  va_list args;
  strbuf_init(&sql, 0);
  va_start(args, format);
  strbuf_vprintf(&sql, format, args);
  va_end(args);
  enum status status = migrate_run_sql(s, doing, strbuf_cstring(&sql));
  strbuf_free(&sql);
  return status;
}

static enum status run_on_table(struct session *s, const char *doing, const char *before, const char *after)
{
  return run_format(s, doing, "%s%s%s", before, s->table, after);
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
  s->conn = pg_connect_blocking(conninfo);
  CHECK(s->conn != NULL);
  if (PQstatus(s->conn) != CONNECTION_OK)
    return migrate_report_failure(s, "PostgreSQL: cannot connect", NULL);
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
      PQresultStatus(result) == PGRES_TUPLES_OK ? STATUS_OK : migrate_report_failure(s, "advisory lock", result);
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
  return run_format(s, "schema", "CREATE SCHEMA IF NOT EXISTS %s", quoted);
}

// Adds the column that the lists of earlier releases lack. ALTER TABLE would wait for whoever reads the list, a backup
// for example, so it is left alone where the column is there.
static enum status add_column(struct session *s)
{
  return run_format(
      s, s->list,
      "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = '%s'::regclass AND"
      " attname = 'compatible_from') THEN ALTER TABLE %s ADD COLUMN compatible_from integer; END IF; END $$",
      s->table, s->table);
}

// Takes the rights to change the list from everybody but its owner: the default privileges of the schema may give them
// to the role that the service works with.
static enum status protect_list(struct session *s)
{
  return run_format(
      s, s->list,
      "DO $$ DECLARE other name; BEGIN FOR other IN SELECT DISTINCT grantee::regrole::text FROM pg_class,"
      " aclexplode(relacl) WHERE oid = '%s'::regclass AND grantee NOT IN (0, relowner) AND privilege_type IN"
      " ('INSERT', 'UPDATE', 'DELETE') LOOP"
      " EXECUTE 'REVOKE INSERT, UPDATE, DELETE ON %s FROM ' || other; END LOOP; END $$",
      s->table, s->table);
}

static enum status create_list(struct session *s)
{
  enum status status = run_on_table(s, s->list, "CREATE TABLE IF NOT EXISTS ",
                                    " (version integer PRIMARY KEY, name text NOT NULL, sha256 text NOT NULL,"
                                    " applied_at timestamptz NOT NULL DEFAULT now(), compatible_from integer)");
  if (status == STATUS_OK)
    status = add_column(s);
  return status == STATUS_OK ? protect_list(s) : status;
}

// Sets s->table; returns the schema's name in SQL, to be freed with PQfreemem, or NULL.
static char *name_list(struct session *s)
{
  char *quoted = PQescapeIdentifier(s->conn, s->set->schema, strlen(s->set->schema));
  if (quoted == NULL)
    return NULL;
  struct strbuf text;
  strbuf_init(&text, 0);
  strbuf_printf(&text, "%s.%s", quoted, s->list);
  s->table = memory_copy_text(strbuf_slice(&text));
  strbuf_free(&text);
  return quoted;
}

static enum status prepare_session(struct session *s)
{
  char *quoted = name_list(s);
  if (quoted == NULL)
    return error_set(s->error, STATUS_INVALID_ARGUMENT, "schema: the name is not valid UTF-8");
  enum status status = run_format(s, "session",
                                  "SET search_path = %s; SET client_encoding = 'UTF8'; SET TimeZone = 'UTC'; "
                                  "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0",
                                  quoted);
  if (status == STATUS_OK)
    status = lock_schema(s);
  if (status == STATUS_OK)
    status = create_schema(s, quoted);
  PQfreemem(quoted);
  return status == STATUS_OK ? create_list(s) : status;
}

// ---- what is there ----

bool migrate_is_known(const struct migration_set *set, unsigned version)
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
  enum status status =
      PQresultStatus(result) == PGRES_TUPLES_OK ? STATUS_OK : migrate_report_failure(s, "checksum", result);
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
  uint64_t compatible_from = version;
  (void)slice_to_uint64(slice_from_string(PQgetvalue(s->rows, row, 4)), 1, version, &compatible_from);
  applied->version = (unsigned)version;
  applied->compatible_from = (unsigned)compatible_from;
  applied->name = PQgetvalue(s->rows, row, 3);
  applied->at = PQgetvalue(s->rows, row, 2);
  enum status status = STATUS_OK;
  if (migrate_is_known(s->set, applied->version))
    status =
        compare_checksum(s, s->set->migrations[applied->version - 1].up, PQgetvalue(s->rows, row, 1), &applied->same);
  s->applied_count++;
  return status;
}

static enum status read_applied(struct session *s)
{
  struct strbuf sql;
  strbuf_init(&sql, 0);
  // A list that a release without the last column has made can be read, too.
  strbuf_printf(&sql,
                "SELECT version, sha256, to_char(applied_at, 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), name,"
                " to_jsonb(list) ->> 'compatible_from' FROM %s list ORDER BY version",
                s->table);
  s->rows = PQexec(s->conn, strbuf_cstring(&sql));
  strbuf_free(&sql);
  if (PQresultStatus(s->rows) != PGRES_TUPLES_OK)
    return migrate_report_failure(s, s->list, s->rows);
  int count = PQntuples(s->rows);
  s->applied = calloc((size_t)count + 1, sizeof(*s->applied));
  CHECK(s->applied != NULL);
  enum status status = STATUS_OK;
  for (int row = 0; row < count && status == STATUS_OK; row++)
    status = read_row(s, row);
  return status;
}

enum status migrate_refuse_changed(struct session *s)
{
  for (size_t i = 0; i < s->applied_count; i++) {
    const struct applied *applied = &s->applied[i];
    if (migrate_is_known(s->set, applied->version) && !applied->same)
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

enum status migrate_refuse_incompatible(struct session *s)
{
  for (size_t i = 0; i < s->applied_count; i++) {
    const struct applied *applied = &s->applied[i];
    if (migrate_is_known(s->set, applied->version) || applied->compatible_from <= s->set->count)
      continue;
    return error_set(
        s->error, STATUS_FAILED_PRECONDITION,
        "%s in schema %s: migration %04u_%s is applied and unknown to this release, whose last is %04zu; it "
        "says that only releases with %04u or a later one can run with it. Start such a release, or let one "
        "that has the migration revert it: migrate down",
        s->list, s->set->schema, applied->version, applied->name, s->set->count, applied->compatible_from);
  }
  return STATUS_OK;
}

const struct applied *migrate_newest_unknown(const struct session *s)
{
  const struct applied *last = s->applied_count == 0 ? NULL : &s->applied[s->applied_count - 1];
  return last == NULL || migrate_is_known(s->set, last->version) ? NULL : last;
}

static enum status check_set(const struct migration_set *set, struct error *error)
{
  for (size_t i = 0; i < set->count; i++) {
    if (set->migrations[i].version != i + 1)
      return error_set(error, STATUS_FAILED_PRECONDITION,
                       "migration %04u_%s: the numbers must go 1, 2, ... without gaps", set->migrations[i].version,
                       set->migrations[i].name);
    CHECK(set->migrations[i].compatible_from <= i + 1);
  }
  return STATUS_OK;
}

void migrate_close_session(struct session *s)
{
  PQclear(s->rows);
  PQfinish(s->conn);
  free(s->applied);
  free(s->table);
}

static enum status begin_session(struct session *s, const char *conninfo, const struct migration_set *set,
                                 struct error *error)
{
  *s = (struct session){.set = set, .error = error, .list = set->table == NULL ? "schema_migrations" : set->table};
  enum status status = check_set(set, error);
  return status == STATUS_OK ? connect_session(s, conninfo) : status;
}

enum status migrate_open_session(struct session *s, const char *conninfo, const struct migration_set *set,
                                 struct error *error)
{
  enum status status = begin_session(s, conninfo, set, error);
  if (status == STATUS_OK)
    status = prepare_session(s);
  return status == STATUS_OK ? read_applied(s) : status;
}

static enum status find_list(struct session *s, bool *is_there)
{
  char *quoted = name_list(s);
  if (quoted == NULL)
    return error_set(s->error, STATUS_INVALID_ARGUMENT, "schema: the name is not valid UTF-8");
  PQfreemem(quoted);
  const char *values[] = {s->table};
  PGresult *result = PQexecParams(s->conn, "SELECT to_regclass($1) IS NOT NULL", 1, NULL, values, NULL, NULL, 0);
  enum status status =
      PQresultStatus(result) == PGRES_TUPLES_OK ? STATUS_OK : migrate_report_failure(s, s->list, result);
  *is_there = status == STATUS_OK && PQgetvalue(result, 0, 0)[0] == 't';
  PQclear(result);
  return status;
}

enum status migrate_open_reader(struct session *s, const char *conninfo, const struct migration_set *set,
                                struct error *error)
{
  bool is_there = false;
  enum status status = begin_session(s, conninfo, set, error);
  if (status == STATUS_OK)
    status = find_list(s, &is_there);
  return is_there ? read_applied(s) : status;
}
