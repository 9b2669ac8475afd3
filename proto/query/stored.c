#include "proto/query/stored.h"

#include "proto/query/resolve.h"
#include "proto/query/types.h"

struct check {
  const struct service_source *service;
  struct query_source *query;
  struct findings *findings;
};

static bool is_named(const struct query_source *query, const struct argument *argument, const struct field *field)
{
  for (size_t i = 0; i < query->parameter_count; i++)
    if (query->parameters[i].argument == argument && query->parameters[i].field == field)
      return true;
  return false;
}

static bool is_left_out(const struct query_source *query, const struct argument *argument, const struct field *field)
{
  for (size_t i = 0; i < query->omission_count; i++)
    if (query->omissions[i].argument == argument && query->omissions[i].field == field)
      return true;
  return false;
}

// ---- what is left out ----

// True for a field of a list's request, which requested.c resolves.
static bool is_of_request(const struct query_source *query, const struct omission *omission)
{
  return query->rows == ROWS_PAGE && slice_find(omission->at, '.', 0) == omission->at.size;
}

static void resolve_omission(struct check *check, struct omission *omission)
{
  struct slice name, member;
  resolve_split(omission->at, &name, &member);
  omission->argument = resolve_argument(check->query, name);
  if (omission->argument == NULL || omission->argument->message == NULL) {
    findings_add(
        check->findings, check->service, check->query, omission->at.data,
        "without names a field of a message that the query takes; write it as item.note, with -- params: item.v1.Item "
        "as item");
    return;
  }
  omission->field = message_field(omission->argument->message, member);
  if (omission->field == NULL)
    findings_add(check->findings, check->service, check->query, omission->at.data, "%s has no field " SLICE_FMT,
                 omission->argument->message->full_name, SLICE_ARG(member));
  else if (!omission->field->is_written)
    findings_add(check->findings, check->service, check->query, omission->at.data,
                 "clients do not write " SLICE_FMT ", so it may be left out; remove the line", SLICE_ARG(omission->at));
  else if (is_named(check->query, omission->argument, omission->field))
    findings_add(check->findings, check->service, check->query, omission->at.data,
                 "the SQL has :" SLICE_FMT ", so it is not left out; remove the line", SLICE_ARG(omission->at));
}

// ---- what is forgotten ----

static bool can_be_bound(const struct argument *argument, const struct field *field)
{
  if (!resolve_can_be_parameter(field) || (field->repeated && field->type != FIELD_STRING))
    return false;
  if (argument->repeated)
    return type_fits_array(field);
  return field->type != FIELD_MESSAGE && field->type != FIELD_OTHER;
}

static void report_forgotten(struct check *check, const struct argument *argument, const struct field *field)
{
  if (can_be_bound(argument, field))
    findings_add(check->findings, check->service, check->query, argument->at.data,
                 "clients may write %s.%s, which this statement does not store, so it would be lost; store :" SLICE_FMT
                 ".%s, make the field output_only in the contract, or say where it goes: \"-- without " SLICE_FMT
                 ".%s: why\"",
                 argument->message->full_name, field->name, SLICE_ARG(argument->name), field->name,
                 SLICE_ARG(argument->name), field->name);
  else
    findings_add(
        check->findings, check->service, check->query, argument->at.data,
        "clients may write %s.%s, which this statement does not store, so it would be lost; a query cannot take it "
        "from the message, because of its type or its oneof, so store it by a parameter of its own and write \"-- "
        "without " SLICE_FMT ".%s: why\"",
        argument->message->full_name, field->name, SLICE_ARG(argument->name), field->name);
}

static void check_argument(struct check *check, const struct argument *argument)
{
  const struct query_source *query = check->query;
  for (size_t i = 0; argument->message != NULL && i < argument->message->field_count; i++) {
    const struct field *field = &argument->message->fields[i];
    bool must_be_stored = field->is_written && (query->body.inserts || !field->immutable);
    if (must_be_stored && !is_named(query, argument, field) && !is_left_out(query, argument, field))
      report_forgotten(check, argument, field);
  }
}

void check_stored(const struct service_source *service, struct query_source *query, struct findings *findings)
{
  struct check check = {.service = service, .query = query, .findings = findings};
  for (size_t i = 0; i < query->omission_count; i++)
    if (!is_of_request(query, &query->omissions[i]))
      resolve_omission(&check, &query->omissions[i]);
  for (size_t i = 0; (query->body.inserts || query->body.updates) && i < query->argument_count; i++)
    check_argument(&check, &query->arguments[i]);
}
