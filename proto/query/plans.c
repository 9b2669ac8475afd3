#include "proto/query/plans.h"

#include <libpq-fe.h>
#include <string.h>

#include "common/base/strmap.h"
#include "proto/query/file.h"
#include "proto/query/statement.h"
#include "proto/query/types.h"

struct checker {
  struct service_source *service;
  struct query_source *query;
  struct arena *arena;
  struct findings *findings;
  PGconn *conn;
  struct sql_file seed;
  struct strmap missing;  // the names of samples that were reported
};

static enum status run_sql(struct checker *c, const char *sql, struct error *error)
{
  PGresult *result = PQexec(c->conn, sql);
  ExecStatusType how = PQresultStatus(result);
  PQclear(result);
  if (how == PGRES_COMMAND_OK || how == PGRES_TUPLES_OK)
    return STATUS_OK;
  return error_set(error, STATUS_INVALID_ARGUMENT, "%s: %s", c->seed.path, PQerrorMessage(c->conn));
}

// ---- samples ----

// Finds the value of the line "-- sample NAME: VALUE" in the seed; NULL where it has no such line.
static const char *sample_of(struct checker *c, const char *name)
{
  const char *key = arena_printf(c->arena, "-- sample %s: ", name);
  const char *line = strstr(c->seed.text.data, key);
  if (line == NULL)
    return NULL;
  struct slice value = slice_from_string(line + strlen(key));
  return arena_string(c->arena, slice_make(value.data, slice_find(value, '\n', 0)));
}

static const char *sample_of_parameter(struct checker *c, const struct parameter *parameter)
{
  return arena_string(c->arena, parameter->member.size > 0 ? parameter->member : parameter->name);
}

static const char *sample_of_order(struct checker *c, const struct order *order)
{
  return arena_printf(c->arena, "after_%s", order->field->name);
}

// Appends a sample as an SQL literal. `array` is the type of the array that holds it; 0 for none.
static void add_sample(struct checker *c, struct strbuf *sql, const char *name, unsigned array)
{
  strbuf_add_string(sql, sql->data[sql->size - 1] == '(' ? "" : ", ");
  if (array != 0)
    strbuf_printf(sql, "ARRAY[%s]::%s", sample_of(c, name), type_name(array));
  else
    strbuf_add_string(sql, sample_of(c, name));
}

static void add_page_samples(struct checker *c, const struct page_choice *choice, struct strbuf *sql)
{
  for (size_t i = 0; i < c->query->filter_count; i++)
    if ((choice->filters & 1u << i) != 0)
      add_sample(c, sql, arena_string(c->arena, c->query->filters[i].name), 0);
  if (choice->after) {
    add_sample(c, sql, sample_of_order(c, &c->query->orders[choice->order]), 0);
    add_sample(c, sql, "after_id", 0);
  }
}

// Makes the SQL that asks for a plan: EXPLAIN EXECUTE "item_get" ('...', ...).
static const char *explain_sql(struct checker *c, const struct statement *statement, size_t index)
{
  struct strbuf sql;
  strbuf_init(&sql, 0);
  strbuf_printf(&sql, "EXPLAIN EXECUTE \"%s\" (", statement->name);
  for (size_t i = 0; i < c->query->parameter_count; i++) {
    const struct parameter *parameter = &c->query->parameters[i];
    bool each = c->query->rows == ROWS_GATHERED || (parameter->argument != NULL && parameter->argument->repeated);
    add_sample(c, &sql, sample_of_parameter(c, parameter), each ? parameter->type : 0);
  }
  if (c->query->rows == ROWS_PAGE) {
    struct page_choice choice = statement_choice(c->query, index);
    add_page_samples(c, &choice, &sql);
    strbuf_printf(&sql, "%s51", sql.data[sql.size - 1] == '(' ? "" : ", ");
  }
  if (sql.data[sql.size - 1] == '(')
    sql.size -= 2;
  else
    strbuf_add_byte(&sql, ')');
  const char *text = arena_string(c->arena, strbuf_slice(&sql));
  strbuf_free(&sql);
  return text;
}

// ---- missing samples ----

// Reports a sample that the seed lacks, at the first query that needs it.
static void need_sample(struct checker *c, const char *name)
{
  if (sample_of(c, name) == NULL && strmap_add(&c->missing, slice_from_string(name), c->query))
    findings_add(c->findings, c->service, c->query, c->query->name.data,
                 "%s has no sample of :%s; add a line \"-- sample %s: VALUE\"", c->seed.path, name, name);
}

static void need_samples_of_query(struct checker *c)
{
  const struct query_source *query = c->query;
  for (size_t i = 0; i < query->parameter_count; i++)
    need_sample(c, sample_of_parameter(c, &query->parameters[i]));
  if (query->rows != ROWS_PAGE)
    return;
  for (size_t i = 0; i < query->filter_count; i++)
    need_sample(c, arena_string(c->arena, query->filters[i].name));
  for (size_t i = 0; i < query->order_count; i++)
    need_sample(c, sample_of_order(c, &query->orders[i]));
  need_sample(c, "after_id");
}

// Reports every missing sample once. False where one is missing.
static bool has_all_samples(struct checker *c)
{
  size_t before = c->findings->count;
  for (size_t i = 0; i < c->service->query_count; i++) {
    c->query = &c->service->queries[i];
    if (c->query->scan.size == 0)
      need_samples_of_query(c);
  }
  strmap_free(&c->missing);
  return c->findings->count == before;
}

// ---- plans ----

struct plan {
  bool limited;           // the lines read now are below a Limit, where an index may be walked in its order
  const char *unbounded;  // an index scan whose condition has not come yet
  const char *found;
};

static void end_node(struct plan *plan)
{
  if (plan->unbounded != NULL && !plan->limited)
    plan->found = plan->unbounded;
  plan->unbounded = NULL;
}

static void read_plan_line(struct plan *plan, const char *line)
{
  bool node = strstr(line, "->  ") != NULL || strstr(line, "(cost=") != NULL;
  if (node)
    end_node(plan);
  if (strstr(line, "Limit  (cost=") != NULL)
    plan->limited = true;
  if (strstr(line, "Seq Scan on ") != NULL)
    plan->found = line;
  else if (node && (strstr(line, "Index Scan using ") != NULL || strstr(line, "Index Only Scan using ") != NULL))
    plan->unbounded = line;
  else if (strstr(line, "Index Cond: ") != NULL)
    plan->unbounded = NULL;
}

// Finds the line of the plan that scans a table or a whole index; NULL where the plan does neither.
static const char *scan_in(const PGresult *result)
{
  struct plan plan = {0};
  for (int row = 0; row < PQntuples(result); row++)
    read_plan_line(&plan, PQgetvalue(result, row, 0));
  end_node(&plan);
  return plan.found;
}

// Takes the name of a node, such as "Seq Scan on items", from a line of a plan.
static const char *node_name(const char *line)
{
  return line + strspn(line, " ->");
}

static int node_size(const char *line)
{
  const char *costs = strstr(node_name(line), "  (cost=");
  return costs == NULL ? (int)strlen(node_name(line)) : (int)(costs - node_name(line));
}

static void check_plan(struct checker *c, const struct statement *statement, const char *explain, const char *mode)
{
  PQclear(PQexec(c->conn, arena_printf(c->arena, "SET plan_cache_mode = force_%s_plan", mode)));
  PGresult *result = PQexec(c->conn, explain);
  const char *found = scan_in(result);
  if (PQresultStatus(result) != PGRES_TUPLES_OK)
    findings_add(c->findings, c->service, c->query, c->query->name.data, "%s cannot be explained: %s", statement->name,
                 PQerrorMessage(c->conn));
  else if (found != NULL)
    findings_add(c->findings, c->service, c->query, c->query->name.data,
                 "the %s plan of %s scans a whole table: %.*s; add an index, or say why it may: \"-- scan: ...\"", mode,
                 statement->name, node_size(found), node_name(found));
  PQclear(result);
}

static void check_statement(struct checker *c, size_t index)
{
  struct statement statement = statement_make(c->service, c->query, index, c->arena);
  PQclear(PQprepare(c->conn, statement.name, statement.sql, 0, NULL));
  const char *explain = explain_sql(c, &statement, index);
  check_plan(c, &statement, explain, "custom");
  check_plan(c, &statement, explain, "generic");
}

static void check_queries(struct checker *c)
{
  for (size_t i = 0; i < c->service->query_count; i++) {
    c->query = &c->service->queries[i];
    for (size_t index = 0; c->query->scan.size == 0 && index < statement_count(c->query); index++)
      check_statement(c, index);
  }
}

enum status plans_check(struct service_source *service, const char *conninfo, const char *seed_folder,
                        struct arena *arena, struct findings *findings, struct error *error)
{
  struct checker c = {.service = service, .arena = arena, .findings = findings};
  c.seed.path = arena_printf(arena, "%s/%s.sql", seed_folder, service->name);
  enum status status = file_read(c.seed.path, arena, &c.seed.text, error);
  if (status != STATUS_OK || !has_all_samples(&c))
    return status;
  c.conn = PQconnectdb(conninfo);
  status = run_sql(&c, "SET client_min_messages = error", error);
  if (status == STATUS_OK)
    status = run_sql(&c, c.seed.text.data, error);
  if (status == STATUS_OK)
    status = run_sql(&c, "VACUUM ANALYZE", error);
  if (status == STATUS_OK)
    check_queries(&c);
  PQfinish(c.conn);
  return status;
}
