#include "proto/query/bind.h"

#include <string.h>

#include "proto/query/types.h"

struct binder {
  const struct service_source *service;
  struct query_source *query;
  struct findings *findings;
};

// ---- pages ----

static const struct column *column_of_slice(const struct query_source *query, struct slice name)
{
  for (size_t i = 0; i < query->description.column_count; i++)
    if (slice_equal_string(name, query->description.columns[i].name))
      return &query->description.columns[i];
  return NULL;
}

static bool can_order(const struct column *column)
{
  enum type_class class = column == NULL ? CLASS_UNKNOWN : type_class(column->type);
  return class != CLASS_UNKNOWN && !column->nullable &&
         (class == CLASS_INT || class == CLASS_BIGINT || class == CLASS_TIME || class == CLASS_TEXT);
}

void bind_orders(const struct service_source *service, struct query_source *query, struct findings *findings)
{
  for (size_t i = 0; i < query->order_count; i++) {
    struct order *order = &query->orders[i];
    const struct column *column =
        order->field == NULL ? NULL : column_of_slice(query, slice_from_string(order->field->name));
    const struct column *id = column_of_slice(query, order->id);
    // A page token holds the id of the page's last row, which must be a UUID.
    query->id_field = id != NULL && id->type == 2950 ? message_field(query->row, order->id) : NULL;
    if (!can_order(column))
      findings_add(findings, service, query, order->at.data,
                   "a list can be ordered by a column of its rows that is NOT NULL: a number, a text or a timestamptz");
    else if (query->id_field == NULL)
      findings_add(findings, service, query, order->at.data,
                   "what breaks ties must be a uuid among the columns of the rows; " SLICE_FMT " is not",
                   SLICE_ARG(order->id));
    else
      order->type = column->type;
  }
}

static void check_default_order(struct binder *b)
{
  struct slice text = b->query->default_order;
  size_t space = slice_find(text, ' ', 0);
  struct slice direction = slice_skip(text, space + 1);
  bool known = false;
  for (size_t i = 0; i < b->query->order_count; i++)
    known = known || slice_equal(b->query->orders[i].name, slice_make(text.data, space));
  if (!known || !(slice_equal_string(direction, "asc") || slice_equal_string(direction, "desc")))
    findings_add(b->findings, b->service, b->query, text.data,
                 "default is one of the orders with its direction, such as \"createTime desc\"");
}

// ---- parameters ----

static void refuse_parameter(struct binder *b, const struct parameter *parameter)
{
  findings_add(b->findings, b->service, b->query, parameter->at.data,
               "PostgreSQL takes :" SLICE_FMT " as %s, which %s%s cannot give%s", SLICE_ARG(parameter->at),
               type_name(parameter->type), parameter->field == NULL ? "C" : "the field ",
               parameter->field == NULL ? "" : parameter->field->name,
               parameter->argument != NULL && parameter->argument->repeated ? "; cast it to an array, such as ::text[]"
                                                                            : "; cast it");
}

static void bind_parameter(struct binder *b, struct parameter *parameter)
{
  if (parameter->field == NULL)
    parameter->kind = parameter->argument == NULL ? type_kind(parameter->type) : NULL;
  else if (parameter->argument->repeated)
    parameter->kind = type_each_kind(parameter->type, parameter->field);
  else
    parameter->kind = type_field_kind(parameter->type, parameter->field);
  // An int32 fits a bigint, too.
  if (parameter->kind == NULL && parameter->field != NULL && parameter->field->type == FIELD_INT32 &&
      type_class(parameter->type) == CLASS_BIGINT)
    parameter->kind = "FIELD_INT32";
  if (parameter->kind == NULL)
    refuse_parameter(b, parameter);
}

static void bind_parameters(struct binder *b)
{
  for (size_t i = 0; i < b->query->parameter_count; i++) {
    struct parameter *parameter = &b->query->parameters[i];
    parameter->type = b->query->description.types[i];
    bind_parameter(b, parameter);
  }
}

// ---- columns ----

static void bind_field(struct binder *b, struct column *column)
{
  const struct message *message = b->query->row;
  column->field = message_field(message, slice_from_string(column->name));
  if (column->field == NULL || column->field->in_oneof) {
    findings_add(b->findings, b->service, b->query, b->query->name.data,
                 "column \"%s\" is not a field of %s; name it as one (AS), or leave it out", column->name,
                 message->full_name);
    return;
  }
  column->kind = type_field_kind(column->type, column->field);
  if (column->kind == NULL)
    findings_add(b->findings, b->service, b->query, b->query->name.data,
                 "column \"%s\" is %s, which does not fit the field %s.%s; cast it", column->name,
                 type_name(column->type), message->full_name, column->field->name);
  else if (column->nullable && !column->field->repeated && !column->field->optional &&
           column->field->type != FIELD_STRING && column->field->type != FIELD_TIME &&
           column->field->type != FIELD_BYTES)
    findings_add(
        b->findings, b->service, b->query, b->query->name.data,
        "column \"%s\" may be NULL, which the field %s.%s cannot say; use coalesce(), or \"-- not null: %s\" where "
        "it never is",
        column->name, message->full_name, column->field->name, column->name);
}

static void bind_plain(struct binder *b, struct column *column)
{
  bool identifier = column->name[0] >= 'a' && column->name[0] <= 'z';
  for (const char *c = column->name; *c != '\0'; c++)
    identifier = identifier && ((*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || *c == '_');
  column->kind = type_kind(column->type);
  if (!identifier)
    findings_add(b->findings, b->service, b->query, b->query->name.data,
                 "column \"%s\" makes no name in C; name it (AS) with a-z, 0-9 and _", column->name);
  else if (column->kind == NULL)
    findings_add(b->findings, b->service, b->query, b->query->name.data, "column \"%s\" has %s", column->name,
                 type_name(column->type));
}

static void bind_columns(struct binder *b)
{
  struct description *description = &b->query->description;
  size_t count = description->column_count - (b->query->rows == ROWS_GATHERED ? 1 : 0);
  for (size_t i = 0; i < count; i++) {
    if (b->query->row != NULL)
      bind_field(b, &description->columns[i]);
    else
      bind_plain(b, &description->columns[i]);
    for (size_t k = 0; k < i; k++)
      if (strcmp(description->columns[k].name, description->columns[i].name) == 0)
        findings_add(b->findings, b->service, b->query, b->query->name.data, "two columns are named \"%s\"",
                     description->columns[i].name);
  }
}

// ---- queries ----

static bool ends_with_place(const struct description *description)
{
  if (description->column_count == 0)
    return false;
  const struct column *last = &description->columns[description->column_count - 1];
  return last->type == 20 && strcmp(last->name, "place") == 0;
}

// Checks the form that pg_change_row needs: arrays of one message's fields go in, the key's first, and each row's last
// column is its place in them.
static void check_gathered_change(struct binder *b)
{
  const struct query_source *query = b->query;
  bool good = ends_with_place(&query->description) && !query->description.read_only && query->row != NULL;
  for (size_t i = 0; i < query->parameter_count; i++) {
    const struct parameter *parameter = &query->parameters[i];
    good = good && parameter->argument == query->parameters[0].argument && parameter->argument->repeated;
  }
  const struct parameter *key = &query->parameters[0];
  if (!good || key->field == NULL || key->field->repeated || key->field->optional || key->field->type != FIELD_STRING)
    findings_add(
        b->findings, b->service, query, query->name.data,
        "a gathered change is written as UPDATE ... FROM unnest(:item.id::uuid[], :item.name::text[]) WITH "
        "ORDINALITY AS v(key, new_name, place) WHERE id = v.key RETURNING ..., v.place; all parameters are "
        "fields of one array of messages, the first is the key, a text; \"-- row:\" names the message of a row");
}

// Checks the form that pg_query_row needs: one array of keys goes in, and each row's last column is its place in it.
static void check_gathered(struct binder *b)
{
  const struct description *description = &b->query->description;
  if (b->query->parameter_count > 0 && b->query->parameters[0].argument != NULL) {
    check_gathered_change(b);
    return;
  }
  if (b->query->parameter_count != 1 || type_class(description->types[0]) != CLASS_TEXTS ||
      !ends_with_place(description) || !description->read_only)
    findings_add(
        b->findings, b->service, b->query, b->query->name.data,
        "a gathered read is written as SELECT ..., k.place FROM unnest(:id::uuid[]) WITH ORDINALITY AS k(key, place) "
        "JOIN ... ON id = k.key; its last column is place, and it changes nothing");
}

static bool gives_rows(enum rows rows)
{
  return rows != ROWS_EXEC && rows != ROWS_AFFECTED;
}

// Refuses a parameter that is written as $1: nothing would give it a value. The first statement of a page has its limit
// besides the named parameters.
static bool check_parameter_count(struct binder *b)
{
  const struct query_source *query = b->query;
  size_t expected = query->parameter_count + (query->rows == ROWS_PAGE ? 1 : 0);
  if (query->description.type_count <= expected)
    return true;
  findings_add(b->findings, b->service, query, query->name.data,
               "the SQL has %zu parameters, and %zu have a name; write :id and the like instead of $1",
               query->description.type_count, expected);
  return false;
}

// Refuses "dedicated" where it changes nothing.
static void check_dedicated(struct binder *b)
{
  const struct query_source *query = b->query;
  if (query->dedicated && (query->rows != ROWS_ONE || !query->description.read_only))
    findings_add(b->findings, b->service, query, query->name.data,
                 "only a :one that reads can be dedicated; what writes, a :many and a :page have a connection to "
                 "themselves anyway, and a :gathered never has; leave it out");
}

static void bind_query(struct binder *b)
{
  const struct query_source *query = b->query;
  if (!check_parameter_count(b))
    return;
  check_dedicated(b);
  if (gives_rows(query->rows) != (query->description.column_count > 0)) {
    findings_add(b->findings, b->service, query, query->name.data, "the statement gives %s; write %s",
                 query->description.column_count > 0 ? "rows" : "no rows",
                 query->description.column_count > 0 ? ":one or :many" : ":exec or :affected");
    return;
  }
  bind_parameters(b);
  if (query->rows == ROWS_GATHERED)
    check_gathered(b);
  if (gives_rows(query->rows))
    bind_columns(b);
  if (query->rows == ROWS_PAGE)
    check_default_order(b);
}

void bind_service(struct service_source *service, struct findings *findings)
{
  struct binder b = {.service = service, .findings = findings};
  for (size_t i = 0; i < service->query_count; i++) {
    b.query = &service->queries[i];
    if (b.query->rows == ROWS_PAGE)
      bind_orders(service, b.query, findings);
    bind_query(&b);
  }
}
