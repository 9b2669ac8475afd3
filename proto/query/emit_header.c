#include <string.h>

#include "common/contract/c_names.h"
#include "proto/query/emit.h"
#include "proto/query/types.h"

const char *emit_name(const struct query_source *query, struct arena *arena)
{
  return arena_printf(arena, "%s_db_" SLICE_FMT, query->service, SLICE_ARG(query->name));
}

const char *emit_row(const struct query_source *query, struct arena *arena)
{
  if (query->row != NULL)
    return c_name_struct(arena, query->row->full_name);
  return arena_printf(arena, "struct %s_row", emit_name(query, arena));
}

// ---- parameters ----

// Returns whether the parameter is a member of the struct: of several fields of one message only the first is, and
// stands for the message.
static bool is_struct_member(const struct query_source *query, size_t index)
{
  const struct parameter *parameter = &query->parameters[index];
  for (size_t i = 0; parameter->argument != NULL && i < index; i++)
    if (query->parameters[i].argument == parameter->argument)
      return false;
  return true;
}

bool emit_is_list(const struct parameter *parameter)
{
  if (parameter->argument != NULL)
    return parameter->argument->repeated;
  return strcmp(parameter->kind, "TEXTS") == 0 || strcmp(parameter->kind, "INT64S") == 0;
}

bool emit_is_change(const struct query_source *query)
{
  return query->rows == ROWS_GATHERED && query->parameters[0].argument != NULL;
}

size_t emit_member_count(const struct query_source *query)
{
  size_t count = 0;
  for (size_t i = 0; i < query->parameter_count; i++)
    if (is_struct_member(query, i))
      count += emit_is_list(&query->parameters[i]) ? 2 : 1;
  return count;
}

static const char *c_type(const char *kind)
{
  static const struct {
    const char *kind;
    const char *type;
  } TYPES[] = {
      {"TEXT", "const char *"},
      {"INT64", "int64_t "},
      {"BOOL", "bool "},
      {"DOUBLE", "double "},
      {"MICROS", "int64_t "},
      {"BYTES", "struct slice "},
      {"TEXTS", "const char *const *"},
      {"INT64S", "const int64_t *"},
  };
  for (size_t i = 0; i < ARRAY_LEN(TYPES); i++)
    if (strcmp(TYPES[i].kind, kind) == 0)
      return TYPES[i].type;
  return "void ";
}

static bool is_scalar(const char *kind)
{
  return strcmp(kind, "INT64") == 0 || strcmp(kind, "BOOL") == 0 || strcmp(kind, "DOUBLE") == 0 ||
         strcmp(kind, "MICROS") == 0;
}

// Returns the declaration of the parameter, or of the message that it is a field of: "const char *id".
static const char *format_declaration(const struct parameter *parameter, struct arena *arena)
{
  if (parameter->argument != NULL) {
    const char *type = c_name_struct(arena, parameter->argument->message->full_name);
    return parameter->argument->repeated
               ? arena_printf(arena, "%s *const *" SLICE_FMT, type, SLICE_ARG(parameter->name))
               : arena_printf(arena, "const %s *" SLICE_FMT, type, SLICE_ARG(parameter->name));
  }
  if (parameter->nullable && is_scalar(parameter->kind))
    return arena_printf(arena, "const %s*" SLICE_FMT, c_type(parameter->kind), SLICE_ARG(parameter->name));
  return arena_printf(arena, "%s" SLICE_FMT, c_type(parameter->kind), SLICE_ARG(parameter->name));
}

static void emit_params(const struct query_source *query, struct arena *arena, struct strbuf *out)
{
  if (query->parameter_count == 0 || query->rows == ROWS_GATHERED)
    return;
  strbuf_printf(out, "struct %s_params {\n", emit_name(query, arena));
  for (size_t i = 0; i < query->parameter_count; i++) {
    const struct parameter *parameter = &query->parameters[i];
    if (!is_struct_member(query, i))
      continue;
    strbuf_printf(out, "  %s;%s\n", format_declaration(parameter, arena),
                  parameter->argument == NULL && parameter->nullable ? "  // NULL is SQL NULL" : "");
    if (emit_is_list(parameter))
      strbuf_printf(out, "  size_t " SLICE_FMT "_count;\n", SLICE_ARG(parameter->name));
  }
  strbuf_add_string(out, "};\n");
}

// ---- rows ----

static const char *comment_of(const struct column *column)
{
  if (strcmp(column->kind, "MICROS") == 0)
    return "  // microseconds since 1970";
  return column->nullable && !is_scalar(column->kind) ? "  // NULL where the column is" : "";
}

static void emit_member(struct strbuf *out, const struct column *column)
{
  if (strcmp(column->kind, "TEXTS") == 0)
    strbuf_printf(out, "  char **%s;%s\n  size_t %s_count;\n", column->name, comment_of(column), column->name);
  else
    strbuf_printf(out, "  %s%s;%s\n", c_type(column->kind), column->name, comment_of(column));
  if (column->nullable && is_scalar(column->kind))
    strbuf_printf(out, "  bool has_%s;  // false where the column is NULL\n", column->name);
}

static void emit_row_struct(const struct query_source *query, struct arena *arena, struct strbuf *out)
{
  if (query->row != NULL || query->rows == ROWS_EXEC || query->rows == ROWS_AFFECTED)
    return;
  size_t count = query->description.column_count - (query->rows == ROWS_GATHERED ? 1 : 0);
  strbuf_printf(out, "%s {\n", emit_row(query, arena));
  for (size_t i = 0; i < count; i++)
    emit_member(out, &query->description.columns[i]);
  strbuf_add_string(out, "};\n");
}

// ---- functions ----

static void emit_out_parameters(const struct query_source *query, struct arena *arena, struct strbuf *out)
{
  switch (query->rows) {
  case ROWS_ONE:
  case ROWS_GATHERED:
    strbuf_printf(out, ", %s *row", emit_row(query, arena));
    break;
  case ROWS_MANY:
    strbuf_printf(out, ", %s **%srows, size_t *count", emit_row(query, arena), query->row == NULL ? "" : "*");
    break;
  case ROWS_AFFECTED:
    strbuf_add_string(out, ", int64_t *affected");
    break;
  case ROWS_EXEC:
  case ROWS_PAGE:
  case ROWS_COUNT:
    break;
  }
}

void emit_prototype(const struct query_source *query, struct arena *arena, struct strbuf *out)
{
  strbuf_printf(out, "enum status %s(struct query_db db", emit_name(query, arena));
  if (emit_is_change(query))
    strbuf_printf(out, ", const %s *" SLICE_FMT,
                  c_name_struct(arena, query->parameters[0].argument->message->full_name),
                  SLICE_ARG(query->parameters[0].name));
  else if (query->rows == ROWS_GATHERED)
    strbuf_printf(out, ", const char *" SLICE_FMT, SLICE_ARG(query->parameters[0].name));
  else if (emit_member_count(query) == 1)
    strbuf_printf(out, ", %s", format_declaration(&query->parameters[0], arena));
  else if (query->parameter_count > 0)
    strbuf_printf(out, ", const struct %s_params *params", emit_name(query, arena));
  strbuf_add_string(out, ",\n    struct arena *arena");
  emit_out_parameters(query, arena, out);
  strbuf_add_byte(out, ')');
}

// Writes the comment of the function: the prose above the SQL, and what comes back.
static void emit_comment(const struct query_source *query, struct strbuf *out)
{
  static const char *const ROWS[] = {
      [ROWS_ONE] = "Gives one row; NOT_FOUND where there is none.",
      [ROWS_MANY] = "Gives all rows.",
      [ROWS_EXEC] = "Gives no rows.",
      [ROWS_AFFECTED] = "*affected is the number of rows that it changed.",
      [ROWS_GATHERED] =
          "Reads one row by its key. Keys that many tasks ask for at the same time travel as one statement. "
          "NOT_FOUND where there is no row.",
      [ROWS_PAGE] = "Declares a list; resource_list runs it.",
  };
  static const char CHANGE[] =
      "Changes one row. Changes that many tasks make at the same time travel as one statement. "
      "NOT_FOUND where no row fits.";
  struct slice left = query->comment;
  while (left.size > 0) {
    struct slice line = slice_make(left.data, slice_find(left, '\n', 0));
    left = slice_skip(left, line.size + 1);
    strbuf_printf(out, "// " SLICE_FMT "\n", SLICE_ARG(slice_trim(slice_skip(line, 2))));
  }
  strbuf_printf(out, "// %s\n", emit_is_change(query) ? CHANGE : ROWS[query->rows]);
}

static void emit_query(const struct query_source *query, struct arena *arena, struct strbuf *out)
{
  strbuf_add_byte(out, '\n');
  emit_params(query, arena, out);
  emit_row_struct(query, arena, out);
  emit_comment(query, out);
  if (query->rows == ROWS_PAGE) {
    strbuf_printf(out, "extern const struct query_list %s;\n", emit_name(query, arena));
    return;
  }
  emit_prototype(query, arena, out);
  strbuf_printf(out, " MUST_CHECK;\nextern const struct query %s_query;\n", emit_name(query, arena));
}

static void include_message(const struct message *message, struct strbuf *out)
{
  if (message == NULL)
    return;
  struct strbuf line;
  strbuf_init(&line, 0);
  strbuf_printf(&line, "#include \"%s.pb-c.h\"\n", message->stem);
  if (memmem(out->data, out->size, line.data, line.size) == NULL)
    strbuf_add(out, strbuf_slice(&line));
  strbuf_free(&line);
}

void emit_header(const struct service_source *service, struct arena *arena, struct strbuf *out)
{
  const char *guard = c_name_guard(arena, arena_printf(arena, "%s/queries", service->name));
  strbuf_printf(out,
                "// Made by bulkhead-query from services/%s/queries. Do not edit.\n"
                "#ifndef %s\n#define %s\n\n"
                "#include \"common/service/query.h\"\n#include \"common/service/query_list.h\"\n",
                service->name, guard, guard);
  for (size_t i = 0; i < service->query_count; i++) {
    const struct query_source *query = &service->queries[i];
    include_message(query->row, out);
    include_message(query->request, out);
    include_message(query->response, out);
    for (size_t k = 0; k < query->argument_count; k++)
      include_message(query->arguments[k].message, out);
  }
  for (size_t i = 0; i < service->query_count; i++)
    emit_query(&service->queries[i], arena, out);
  strbuf_add_string(out, "\n#endif\n");
}
