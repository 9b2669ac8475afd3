#include "proto/query/gathered.h"

#include <string.h>

// With these settings the planner looks each row up by an index where it can. It says "Inner Unique" of a join where a
// unique index proves that there is one row at most.
#define SETTINGS                                                                                                       \
  "BEGIN; SET LOCAL plan_cache_mode = force_generic_plan; SET LOCAL enable_hashjoin = off;"                            \
  "SET LOCAL enable_mergejoin = off; SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off;"               \
  "SET LOCAL enable_material = off; SET LOCAL enable_memoize = off; SET LOCAL jit = off"

// Gives a row where the plan ($1) changes a table that is joined with nothing but one function: whether a place changes
// one row at most; the condition by which the row is found; and whether that has the function's first column, by the
// column's name in the SQL ($2). The last two are NULL where the plan does not tell.
#define JUDGE                                                                                                          \
  "WITH plan AS (SELECT $1::jsonb->0->'Plan' AS top),"                                                                 \
  " joined AS (SELECT top, child AS j FROM plan, jsonb_array_elements(top->'Plans') AS child"                          \
  "            WHERE child->>'Parent Relationship' = 'Outer'),"                                                        \
  " leaves AS (SELECT j, f, t FROM joined, jsonb_array_elements(j->'Plans') AS f, jsonb_array_elements(j->'Plans') AS" \
  "            t WHERE f->>'Node Type' = 'Function Scan' AND t->>'Relation Name' = top->>'Relation Name'"              \
  "            AND t->>'Alias' = top->>'Alias' AND top->>'Operation' IN ('Update', 'Delete')),"                        \
  " named AS (SELECT lower((regexp_match($2, 'with\\s+ordinality\\s+(?:as\\s+)?\\w+\\s*\\(\\s*(\\w+)', 'i'))[1]) AS "  \
  "c)"                                                                                                                 \
  "SELECT (j->>'Inner Unique')::boolean AND t->>'Parent Relationship' = 'Inner', t->>'Index Cond',"                    \
  " CASE WHEN f->>'Function Call' ~ '^unnest\\(\\$1\\)'"                                                               \
  "      THEN t->>'Index Cond' ~ ('\\m' || (f->>'Alias') || '\\.' || c || '\\M') END FROM leaves, named"

static PGresult *explain(const struct gathered_check *check, const struct statement *statement)
{
  struct strbuf sql;
  strbuf_init(&sql, 0);
  strbuf_printf(&sql, "EXPLAIN (VERBOSE, FORMAT JSON) EXECUTE \"%s\"", statement->name);
  for (size_t i = 0; i < check->query->description.type_count; i++)
    strbuf_add_string(&sql, i == 0 ? " (NULL" : ", NULL");
  strbuf_add_byte(&sql, ')');
  PQclear(PQexec(check->conn, SETTINGS));
  PGresult *plan = PQexec(check->conn, strbuf_cstring(&sql));
  PQclear(PQexec(check->conn, "ROLLBACK"));
  strbuf_free(&sql);
  return plan;
}

static void report_verdict(const struct gathered_check *check, const PGresult *verdict)
{
  const struct query_source *query = check->query;
  struct slice first = query->parameters[0].at;
  if (PQgetvalue(verdict, 0, 0)[0] != 't')
    findings_add(check->findings, check->service, query, query->name.data,
                 "one message may change several rows, or PostgreSQL cannot tell that it does not; compare all columns "
                 "of the primary key or of a unique index by =, as in WHERE id = v.key, or write :affected or :many");
  else if (PQgetvalue(verdict, 0, 2)[0] == 'f')
    findings_add(check->findings, check->service, query, first.data,
                 ":" SLICE_FMT " is the first parameter, so it must be the row's key, and the row is found by %s; "
                 "make the key the first array of unnest",
                 SLICE_ARG(first), PQgetvalue(verdict, 0, 1));
}

void check_gathered_plan(const struct gathered_check *check, const struct statement *statement)
{
  if (check->query->parameter_count == 0)
    return;
  PGresult *plan = explain(check, statement);
  if (PQntuples(plan) == 1) {
    const char *values[] = {PQgetvalue(plan, 0, 0), statement->sql};
    PGresult *verdict = PQexecParams(check->conn, JUDGE, 2, NULL, values, NULL, NULL, 0);
    if (PQntuples(verdict) == 1)
      report_verdict(check, verdict);
    PQclear(verdict);
  }
  PQclear(plan);
}
