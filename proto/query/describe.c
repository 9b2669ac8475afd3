#include "proto/query/describe.h"

#include <ctype.h>
#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>

#include "proto/query/bind.h"
#include "proto/query/gathered.h"
#include "proto/query/resolve.h"
#include "proto/query/statement.h"

struct describer {
  struct service_source *service;
  struct query_source *query;
  struct arena *arena;
  struct findings *findings;
  PGconn *conn;
};

static void drop_newlines(char *text)
{
  for (; *text != '\0'; text++)
    if (*text == '\n')
      *text = ' ';
}

// Finds the byte at which a character begins. PostgreSQL counts characters from 1.
static size_t byte_of_character(const char *sql, size_t character)
{
  size_t at = 0;
  for (size_t seen = 1; sql[at] != '\0' && seen < character; seen++)
    do
      at++;
    while (((unsigned char)sql[at] & 0xC0) == 0x80);
  return at;
}

static void report_refusal(struct describer *d, const struct statement *statement, const PGresult *result)
{
  const char *position = PQresultErrorField(result, PG_DIAG_STATEMENT_POSITION);
  const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
  const char *hint = PQresultErrorField(result, PG_DIAG_MESSAGE_HINT);
  size_t at = position == NULL ? 0 : byte_of_character(statement->sql, strtoul(position, NULL, 10));
  char *text = arena_printf(d->arena, "%s%s%s", message == NULL ? PQerrorMessage(d->conn) : message,
                            hint == NULL ? "" : "; ", hint == NULL ? "" : hint);
  drop_newlines(text);
  findings_add(d->findings, d->service, d->query, statement_source(statement, at), "%s", text);
}

static PGresult *ask(struct describer *d, const char *sql, const char *value)
{
  return PQexecParams(d->conn, sql, value == NULL ? 0 : 1, NULL, value == NULL ? NULL : &value, NULL, NULL, 0);
}

// ---- columns ----

static bool says_word(const char *sql, const char *word)
{
  size_t size = strlen(word);
  for (const char *at = sql; (at = strcasestr(at, word)) != NULL; at += size)
    if ((at == sql || !isalnum((unsigned char)at[-1])) && !isalnum((unsigned char)at[size]) && at[size] != '_')
      return true;
  return false;
}

// The columns of a table on the far side of an outer join are NULL where it finds no row, whatever the table says.
// PostgreSQL does not tell which side a column is from, so all of them count as nullable.
static bool has_outer_join(const char *sql)
{
  return (says_word(sql, "left") || says_word(sql, "right") || says_word(sql, "full")) && says_word(sql, "join");
}

static bool column_is_not_null(struct describer *d, unsigned table, int column)
{
  if (table == 0 || column <= 0)
    return false;
  PGresult *result = ask(
      d,
      arena_printf(d->arena, "SELECT attnotnull FROM pg_attribute WHERE attrelid = %u AND attnum = %d", table, column),
      NULL);
  bool not_null = PQntuples(result) == 1 && PQgetvalue(result, 0, 0)[0] == 't';
  PQclear(result);
  return not_null;
}

static bool list_names(struct slice list, const char *name)
{
  while (list.size > 0) {
    size_t comma = slice_find(list, ',', 0);
    if (slice_equal_string(slice_trim(slice_make(list.data, comma)), name))
      return true;
    list = slice_skip(list, comma + 1);
  }
  return false;
}

static void describe_columns(struct describer *d, const struct statement *statement, const PGresult *result)
{
  struct description *description = &d->query->description;
  bool outer = has_outer_join(statement->sql);
  description->column_count = (size_t)PQnfields(result);
  description->columns = arena_zalloc(d->arena, (description->column_count + 1) * sizeof(struct column));
  for (int i = 0; i < PQnfields(result); i++) {
    struct column *column = &description->columns[i];
    column->name = arena_string(d->arena, slice_from_string(PQfname(result, i)));
    column->type = PQftype(result, i);
    bool not_null = !outer && column_is_not_null(d, PQftable(result, i), PQftablecol(result, i));
    column->nullable =
        list_names(d->query->nullable, column->name) || !(not_null || list_names(d->query->not_null, column->name));
  }
}

// Returns the type by which C takes a value: text for an enumeration, whose label C sees, and for citext.
static unsigned usable_type(struct describer *d, unsigned type)
{
  if (type < 16384)
    return type;
  PGresult *result = ask(
      d, arena_printf(d->arena, "SELECT typtype = 'e' OR typname = 'citext' FROM pg_type WHERE oid = %u", type), NULL);
  bool text = PQntuples(result) == 1 && PQgetvalue(result, 0, 0)[0] == 't';
  PQclear(result);
  return text ? 25 : type;
}

static void note_description(struct describer *d, const struct statement *statement, const PGresult *result)
{
  struct description *description = &d->query->description;
  description->type_count = (size_t)PQnparams(result);
  for (size_t i = 0; i < description->type_count && i < MAX_PARAMETERS; i++)
    description->types[i] = usable_type(d, PQparamtype(result, (int)i));
  describe_columns(d, statement, result);
  for (size_t i = 0; i < description->column_count; i++)
    description->columns[i].type = usable_type(d, description->columns[i].type);
}

// ---- reading only ----

// True where the SQL names a function that may have effects (PostgreSQL calls it volatile).
static bool calls_volatile(struct describer *d, const char *sql)
{
  PGresult *result = ask(d,
                         "SELECT 1 FROM pg_proc WHERE provolatile = 'v' AND proname IN"
                         " (SELECT lower(m[1]) FROM regexp_matches($1, '([A-Za-z_][A-Za-z0-9_]*)\\s*\\(', 'g') AS m)",
                         sql);
  bool found = PQntuples(result) > 0;
  PQclear(result);
  return found;
}

static bool plan_writes(struct describer *d, const struct statement *statement)
{
  struct strbuf sql;
  strbuf_init(&sql, 0);
  strbuf_printf(&sql, "EXPLAIN (FORMAT JSON) EXECUTE \"%s\"", statement->name);
  for (size_t i = 0; i < d->query->description.type_count; i++)
    strbuf_add_string(&sql, i == 0 ? " (NULL" : ", NULL");
  if (d->query->description.type_count > 0)
    strbuf_add_byte(&sql, ')');
  PGresult *result = PQexec(d->conn, strbuf_cstring(&sql));
  strbuf_free(&sql);
  const char *plan = PQntuples(result) == 1 ? PQgetvalue(result, 0, 0) : "";
  // A statement without a plan, such as LOCK TABLE, does more than read.
  bool writes = strstr(plan, "\"Plan\"") == NULL || strstr(plan, "\"ModifyTable\"") != NULL ||
                strstr(plan, "\"LockRows\"") != NULL;
  PQclear(result);
  return writes;
}

static bool only_reads(struct describer *d, const struct statement *statement)
{
  if (d->query->effect != EFFECT_UNSAID)
    return d->query->effect == EFFECT_READS;
  return !plan_writes(d, statement) && !calls_volatile(d, statement->sql);
}

// ---- statements ----

static bool prepare(struct describer *d, const struct statement *statement)
{
  PGresult *result = PQprepare(d->conn, statement->name, statement->sql, 0, NULL);
  bool good = PQresultStatus(result) == PGRES_COMMAND_OK;
  if (!good)
    report_refusal(d, statement, result);
  PQclear(result);
  return good;
}

static bool describe_first(struct describer *d)
{
  struct statement statement = statement_make(d->service, d->query, 0, d->arena);
  if (!prepare(d, &statement))
    return false;
  PGresult *result = PQdescribePrepared(d->conn, statement.name);
  bool good = PQresultStatus(result) == PGRES_COMMAND_OK;
  if (good)
    note_description(d, &statement, result);
  else
    report_refusal(d, &statement, result);
  PQclear(result);
  if (good)
    d->query->description.read_only = only_reads(d, &statement);
  if (good && d->query->rows == ROWS_GATHERED && !d->query->description.read_only)
    check_gathered_plan(
        &(struct gathered_check){
            .service = d->service, .query = d->query, .findings = d->findings, .arena = d->arena, .conn = d->conn},
        &statement);
  return good;
}

// Checks that PostgreSQL takes the other statements of a page. Only the first one is described.
static void check_choices(struct describer *d)
{
  size_t before = d->findings->count;
  size_t count = statement_count(d->query);
  for (size_t i = 1; i < count && d->findings->count == before; i++) {
    struct statement statement = statement_make(d->service, d->query, i, d->arena);
    (void)prepare(d, &statement);
  }
}

enum status describe_service(struct service_source *service, const char *conninfo, struct arena *arena,
                             struct findings *findings, struct error *error)
{
  struct describer d = {.service = service, .arena = arena, .findings = findings, .conn = PQconnectdb(conninfo)};
  if (PQstatus(d.conn) != CONNECTION_OK) {
    enum status status = error_set(error, STATUS_UNAVAILABLE, "%s", PQerrorMessage(d.conn));
    PQfinish(d.conn);
    return status;
  }
  for (size_t i = 0; i < service->query_count; i++) {
    d.query = &service->queries[i];
    if (!describe_first(&d) || d.query->rows != ROWS_PAGE)
      continue;
    size_t before = findings->count;
    bind_orders(service, d.query, findings);
    if (findings->count == before)
      check_choices(&d);
  }
  PQfinish(d.conn);
  return STATUS_OK;
}
