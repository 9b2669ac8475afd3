#include <string.h>

#include "common/contract/c_names.h"
#include "proto/query/emit.h"
#include "proto/query/statement.h"

struct emitter {
  const struct service_source *service;
  const struct query_source *query;
  struct arena *arena;
  struct strbuf *out;
  const char *name;
  const char *params;  // name of the struct of parameters
};

// ---- statements ----

// Writes a C string literal for each line of the SQL. Octal escapes have a fixed length; "?" is escaped because of
// trigraphs.
static void emit_literal(struct strbuf *out, const char *text)
{
  strbuf_add_byte(out, '"');
  for (const unsigned char *at = (const unsigned char *)text; *at != '\0'; at++) {
    if (*at == '\n')
      strbuf_add_string(out, at[1] == '\0' ? "\\n" : "\\n\"\n    \"");
    else if (*at < 0x20 || *at > 0x7E || *at == '"' || *at == '\\' || *at == '?')
      strbuf_printf(out, "\\%03o", *at);
    else
      strbuf_add_byte(out, (char)*at);
  }
  strbuf_add_byte(out, '"');
}

// Names the lane (enum pg_lane in common/storage/pg.h) in which the query runs.
static const char *name_lane(const struct query_source *query)
{
  bool few_rows = query->rows == ROWS_ONE || query->rows == ROWS_GATHERED;
  if (!query->description.read_only)
    return "WRITE";
  return few_rows && !query->dedicated ? "POINT" : "SCAN";
}

static void emit_statement(struct emitter *e, size_t index)
{
  struct statement statement = statement_make(e->service, e->query, index, e->arena);
  strbuf_printf(e->out, "{.name = \"%s\", .lane = PG_LANE_%s, .sql =\n    ", statement.name, name_lane(e->query));
  emit_literal(e->out, statement.sql);
  strbuf_add_byte(e->out, '}');
}

// ---- parameters ----

// Writes where the parameter's message or messages are.
static void emit_holder(struct emitter *e, const struct parameter *parameter)
{
  if (emit_is_change(e->query)) {
    strbuf_add_string(e->out, ", .from = QUERY_FROM_MESSAGES, .holder = offsetof(struct query_messages, messages), "
                              ".holder_count = offsetof(struct query_messages, count)");
    return;
  }
  strbuf_printf(e->out, ", .from = QUERY_FROM_MESSAGE%s, .holder = offsetof(struct %s, " SLICE_FMT ")",
                parameter->argument->repeated ? "S" : "", e->params, SLICE_ARG(parameter->name));
  if (parameter->argument->repeated)
    strbuf_printf(e->out, ", .holder_count = offsetof(struct %s, " SLICE_FMT "_count)", e->params,
                  SLICE_ARG(parameter->name));
}

static void emit_param(struct emitter *e, const struct parameter *parameter)
{
  strbuf_printf(e->out, "    {.kind = QUERY_%s", parameter->kind);
  if (parameter->nullable)
    strbuf_add_string(e->out, ", .nullable = true");
  if (parameter->argument == NULL) {
    strbuf_printf(e->out, ", .offset = offsetof(struct %s, " SLICE_FMT ")", e->params, SLICE_ARG(parameter->name));
    if (emit_is_list(parameter))
      strbuf_printf(e->out, ", .count = offsetof(struct %s, " SLICE_FMT "_count)", e->params,
                    SLICE_ARG(parameter->name));
  } else {
    const char *message = c_name_struct(e->arena, parameter->argument->message->full_name);
    emit_holder(e, parameter);
    strbuf_printf(e->out, ", .offset = offsetof(%s, %s)", message, parameter->field->name);
    if (parameter->field->repeated)
      strbuf_printf(e->out, ", .count = offsetof(%s, n_%s)", message, parameter->field->name);
    if (parameter->field->optional)
      strbuf_printf(e->out, ", .presence = offsetof(%s, _%s_case)", message, parameter->field->name);
  }
  strbuf_add_string(e->out, "},\n");
}

static bool has_params_table(const struct query_source *query)
{
  return query->parameter_count > 0 && (query->rows != ROWS_GATHERED || emit_is_change(query));
}

static void emit_params_table(struct emitter *e)
{
  if (!has_params_table(e->query))
    return;
  strbuf_printf(e->out, "static const struct query_param %s_param_table[] = {\n", e->name);
  for (size_t i = 0; i < e->query->parameter_count; i++)
    emit_param(e, &e->query->parameters[i]);
  strbuf_add_string(e->out, "};\n");
}

// ---- columns ----

static size_t column_count(const struct query_source *query)
{
  return query->description.column_count - (query->rows == ROWS_GATHERED ? 1 : 0);
}

static void emit_column(struct emitter *e, const struct column *column)
{
  const char *row = emit_row(e->query, e->arena);
  bool scalar = strcmp(column->kind, "INT64") == 0 || strcmp(column->kind, "BOOL") == 0 ||
                strcmp(column->kind, "DOUBLE") == 0 || strcmp(column->kind, "MICROS") == 0;
  strbuf_printf(e->out, "    {.kind = QUERY_%s, .offset = offsetof(%s, %s)", column->kind, row, column->name);
  if (column->nullable)
    strbuf_add_string(e->out, ", .nullable = true");
  if (column->field != NULL)
    strbuf_printf(e->out, ", .number = %d", column->field->number);
  if (column->field != NULL && column->field->encoding != NULL)
    strbuf_printf(e->out, ", .encoding = QUERY_%s", column->field->encoding);
  if (column->field != NULL && column->field->optional)
    strbuf_printf(e->out, ", .presence = offsetof(%s, _%s_case)", row, column->name);
  if (column->field != NULL && column->field->repeated)
    strbuf_printf(e->out, ", .extra = offsetof(%s, n_%s)", row, column->name);
  else if (strcmp(column->kind, "TEXTS") == 0)
    strbuf_printf(e->out, ", .extra = offsetof(%s, %s_count)", row, column->name);
  else if (column->nullable && scalar && e->query->row == NULL)
    strbuf_printf(e->out, ", .extra = offsetof(%s, has_%s)", row, column->name);
  strbuf_add_string(e->out, "},\n");
}

static int number_of(const struct query_source *query, size_t index)
{
  return query->description.columns[index].field->number;
}

// Writes the columns' indexes in the order in which protobuf-c packs their fields: by their numbers.
static void emit_field_order(struct emitter *e)
{
  size_t count = column_count(e->query);
  strbuf_printf(e->out, "static const uint16_t %s_field_order[] = {", e->name);
  int last = 0;
  for (size_t written = 0; written < count; written++) {
    size_t next = count;
    for (size_t i = 0; i < count; i++)
      if (number_of(e->query, i) > last && (next == count || number_of(e->query, i) < number_of(e->query, next)))
        next = i;
    strbuf_printf(e->out, "%s%zu", written == 0 ? "" : ", ", next);
    last = number_of(e->query, next);
  }
  strbuf_add_string(e->out, "};\n");
}

static void emit_columns_table(struct emitter *e)
{
  if (column_count(e->query) == 0)
    return;
  strbuf_printf(e->out, "static const struct query_column %s_columns[] = {\n", e->name);
  for (size_t i = 0; i < column_count(e->query); i++)
    emit_column(e, &e->query->description.columns[i]);
  strbuf_add_string(e->out, "};\n");
  if (e->query->row != NULL)
    emit_field_order(e);
}

// Returns the message that all parameters are fields of; NULL where there is another parameter.
static const struct message *find_only_argument(const struct query_source *query)
{
  for (size_t i = 0; i < query->parameter_count; i++)
    if (query->parameters[i].argument != &query->arguments[0])
      return NULL;
  return query->parameter_count == 0 ? NULL : query->arguments[0].message;
}

// Writes the members of struct query that follow its statement.
static void emit_shape(struct emitter *e)
{
  const struct query_source *query = e->query;
  if (has_params_table(query))
    strbuf_printf(e->out, "    .params = %s_param_table,\n    .param_count = %zu,\n", e->name, query->parameter_count);
  const struct message *argument = find_only_argument(query);
  if (argument != NULL)
    strbuf_printf(e->out, "    .argument = &%s__descriptor,\n", c_name_lower(e->arena, argument->full_name));
  if (emit_is_change(query))
    strbuf_add_string(e->out, "    .gathers_changes = true,\n");
  if (column_count(query) > 0)
    strbuf_printf(e->out, "    .columns = %s_columns,\n    .column_count = %zu,\n    .row_size = sizeof(%s),\n",
                  e->name, column_count(query), emit_row(query, e->arena));
  if (query->row != NULL)
    strbuf_printf(e->out, "    .message = &%s__descriptor,\n    .field_order = %s_field_order,\n",
                  c_name_lower(e->arena, query->row->full_name), e->name);
}

// ---- functions ----

static void emit_call(struct emitter *e)
{
  static const char *const CALLS[] = {
      [ROWS_ONE] = "query_one",       [ROWS_MANY] = "query_many",         [ROWS_EXEC] = "query_exec",
      [ROWS_AFFECTED] = "query_exec", [ROWS_GATHERED] = "query_gathered",
  };
  static const char *const RESULTS[] = {
      [ROWS_ONE] = ", row",           [ROWS_MANY] = ", &found",  [ROWS_EXEC] = ", NULL",
      [ROWS_AFFECTED] = ", affected", [ROWS_GATHERED] = ", row",
  };
  const struct query_source *query = e->query;
  const char *params = query->parameter_count == 0 ? "NULL" : emit_member_count(query) == 1 ? "&params" : "params";
  strbuf_printf(e->out, "%s(db, &%s_query, ", emit_is_change(query) ? "query_change" : CALLS[query->rows], e->name);
  if (query->rows == ROWS_GATHERED)
    strbuf_printf(e->out, SLICE_FMT, SLICE_ARG(query->parameters[0].name));
  else
    strbuf_add_string(e->out, params);
  strbuf_printf(e->out, ", arena%s);\n", RESULTS[query->rows]);
}

static void emit_function(struct emitter *e)
{
  const struct query_source *query = e->query;
  emit_prototype(query, e->arena, e->out);
  strbuf_add_string(e->out, "\n{\n");
  if (query->rows != ROWS_GATHERED && emit_member_count(query) == 1)
    strbuf_printf(e->out, "  const struct %s params = {" SLICE_FMT "};\n", e->params,
                  SLICE_ARG(query->parameters[0].name));
  if (query->rows != ROWS_MANY) {
    strbuf_add_string(e->out, "  return ");
    emit_call(e);
  } else {
    strbuf_add_string(e->out, "  struct query_rows found = {0};\n  enum status status = ");
    emit_call(e);
    strbuf_printf(e->out, "  *rows = (%s *%s)found.rows;\n  *count = found.count;\n  return status;\n",
                  emit_row(query, e->arena), query->row == NULL ? "" : "*");
  }
  strbuf_add_string(e->out, "}\n");
}

static void emit_query(struct emitter *e)
{
  strbuf_printf(e->out, "const struct query %s_query = {\n    .statement = ", e->name);
  emit_statement(e, 0);
  strbuf_add_string(e->out, ",\n");
  emit_shape(e);
  strbuf_add_string(e->out, "};\n");
  emit_function(e);
}

// ---- lists ----

static size_t index_of_column(const struct query_source *query, const char *name)
{
  size_t i = 0;
  while (strcmp(query->description.columns[i].name, name) != 0)
    i++;
  return i;
}

static void emit_orders(struct emitter *e)
{
  strbuf_printf(e->out, "static const struct query_order %s_orders[] = {\n", e->name);
  for (size_t i = 0; i < e->query->order_count; i++) {
    const struct order *order = &e->query->orders[i];
    size_t column = index_of_column(e->query, order->field->name);
    strbuf_printf(e->out, "    {.name = \"%s\", .kind = QUERY_%s, .column = %zu},\n", order->field->json_name,
                  e->query->description.columns[column].kind, column);
  }
  strbuf_add_string(e->out, "};\n");
}

static void emit_filters(struct emitter *e)
{
  if (e->query->filter_count == 0)
    return;
  const char *request = c_name_struct(e->arena, e->query->request->full_name);
  strbuf_printf(e->out, "static const size_t %s_filters[] = {\n", e->name);
  for (size_t i = 0; i < e->query->filter_count; i++)
    strbuf_printf(e->out, "    offsetof(%s, %s),\n", request, e->query->filters[i].field->name);
  strbuf_add_string(e->out, "};\n");
}

static const struct field *rows_field(const struct query_source *query)
{
  for (size_t i = 0; i < query->response->field_count; i++)
    if (query->response->fields[i].repeated && strcmp(query->response->fields[i].message, query->row->full_name) == 0)
      return &query->response->fields[i];
  return NULL;
}

static void emit_default_order(struct emitter *e)
{
  struct slice text = e->query->default_order;
  size_t space = slice_find(text, ' ', 0);
  for (size_t i = 0; i < e->query->order_count; i++)
    if (slice_equal(e->query->orders[i].name, slice_make(text.data, space)))
      strbuf_printf(e->out, "    .default_order = %zu,\n", i);
  if (slice_equal_string(slice_skip(text, space + 1), "desc"))
    strbuf_add_string(e->out, "    .default_descending = true,\n");
}

static void emit_places(struct emitter *e)
{
  const struct query_source *query = e->query;
  const char *request = c_name_struct(e->arena, query->request->full_name);
  strbuf_printf(e->out,
                "    .request = &%s__descriptor,\n    .page_size = offsetof(%s, page_size),\n    .page_token = "
                "offsetof(%s, page_token),\n"
                "    .rows = %d,\n    .next_page_token = %d,\n    .id = %zu,\n",
                c_name_lower(e->arena, query->request->full_name), request, request, rows_field(query)->number,
                message_field(query->response, SLICE("next_page_token"))->number,
                index_of_column(query, query->id_field->name));
  if (message_field(query->request, SLICE("order_by")) != NULL)
    strbuf_printf(e->out, "    .has_order_by = true,\n    .order_by = offsetof(%s, order_by),\n", request);
}

static void emit_list(struct emitter *e)
{
  const struct query_source *query = e->query;
  strbuf_printf(e->out, "static const struct pg_statement %s_statements[] = {\n", e->name);
  for (size_t i = 0; i < statement_count(query); i++) {
    emit_statement(e, i);
    strbuf_add_string(e->out, ",\n");
  }
  strbuf_add_string(e->out, "};\n");
  emit_orders(e);
  emit_filters(e);
  strbuf_printf(e->out, "const struct query_list %s = {\n    .shape = {\n", e->name);
  emit_shape(e);
  strbuf_printf(e->out, "    },\n    .statements = %s_statements,\n    .orders = %s_orders,\n    .order_count = %zu,\n",
                e->name, e->name, query->order_count);
  emit_default_order(e);
  if (query->filter_count > 0)
    strbuf_printf(e->out, "    .filters = %s_filters,\n    .filter_count = %zu,\n", e->name, query->filter_count);
  strbuf_printf(e->out, "    .default_page_size = %u,\n", query->page_size);
  emit_places(e);
  strbuf_add_string(e->out, "};\n");
}

void emit_source(const struct service_source *service, struct arena *arena, struct strbuf *out)
{
  strbuf_printf(out,
                "// Made by bulkhead-query from services/%s/queries. Do not edit.\n"
                "#include \"%s/queries.bh.h\"\n\n#include <stddef.h>\n",
                service->name, service->name);
  for (size_t i = 0; i < service->query_count; i++) {
    struct emitter e = {.service = service, .query = &service->queries[i], .arena = arena, .out = out};
    e.name = emit_name(e.query, arena);
    e.params = arena_printf(arena, "%s_params", e.name);
    strbuf_add_byte(out, '\n');
    emit_params_table(&e);
    emit_columns_table(&e);
    if (e.query->rows == ROWS_PAGE)
      emit_list(&e);
    else
      emit_query(&e);
  }
}
