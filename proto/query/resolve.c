#include "proto/query/resolve.h"

#include <string.h>

#include "common/base/compiler.h"
#include "proto/query/requested.h"
#include "proto/query/stored.h"

// How deep fragments may hold fragments.
#define MAX_DEPTH 8

// How many parameters a page adds: the value and the id behind which it begins, and its limit.
#define PAGE_PARAMETERS 3

struct resolver {
  struct service_source *service;
  const struct messages *messages;
  struct findings *findings;
  struct query_source *query;
};

static const struct message *find_message(struct resolver *resolver, struct slice at)
{
  if (at.size == 0)
    return NULL;
  const struct message *message = messages_find(resolver->messages, at);
  if (message == NULL)
    findings_add(resolver->findings, resolver->service, resolver->query, at.data,
                 "no contract has a message " SLICE_FMT "; write its full name, such as item.v1.Item", SLICE_ARG(at));
  return message;
}

const struct fragment *resolve_fragment(const struct service_source *service, struct slice name)
{
  for (size_t i = 0; i < service->fragment_count; i++)
    if (slice_equal(service->fragments[i].name, name))
      return &service->fragments[i];
  return NULL;
}

bool resolve_is_page_hole(const struct query_source *query, struct slice name)
{
  return query->rows == ROWS_PAGE && (slice_equal_string(name, "filters") || slice_equal_string(name, "order") ||
                                      slice_equal_string(name, "limit"));
}

// ---- parameters ----

void resolve_split(struct slice text, struct slice *name, struct slice *member)
{
  size_t dot = slice_find(text, '.', 0);
  *name = slice_make(text.data, dot);
  *member = slice_skip(text, dot + 1);
}

const struct parameter *resolve_parameter(const struct query_source *query, const struct token *token)
{
  struct slice name, member;
  resolve_split(token->text, &name, &member);
  for (size_t i = 0; i < query->parameter_count; i++)
    if (slice_equal(query->parameters[i].name, name) && slice_equal(query->parameters[i].member, member))
      return &query->parameters[i];
  return NULL;
}

struct argument *resolve_argument(struct query_source *query, struct slice name)
{
  for (size_t i = 0; i < query->argument_count; i++)
    if (slice_equal(query->arguments[i].name, name))
      return &query->arguments[i];
  return NULL;
}

bool resolve_can_be_parameter(const struct field *field)
{
  return !field->in_oneof;
}

static void report_unusable_field(struct resolver *resolver, const struct argument *argument,
                                  const struct parameter *parameter)
{
  if (parameter->field != NULL) {
    findings_add(resolver->findings, resolver->service, resolver->query, parameter->at.data,
                 "%s." SLICE_FMT
                 " is in a oneof, so it cannot be taken from the message; take it as a parameter of its "
                 "own, such as :" SLICE_FMT "?, which the handler fills (a :gathered change has none: write :one)",
                 argument->message->full_name, SLICE_ARG(parameter->member), SLICE_ARG(parameter->member));
    return;
  }
  struct strbuf names;
  strbuf_init(&names, 0);
  for (size_t i = 0; i < argument->message->field_count; i++) {
    if (resolve_can_be_parameter(&argument->message->fields[i]))
      strbuf_printf(&names, "%s%s", names.size == 0 ? "" : ", ", argument->message->fields[i].name);
  }
  findings_add(resolver->findings, resolver->service, resolver->query, parameter->at.data,
               "%s has no field " SLICE_FMT "; name one of %s", argument->message->full_name,
               SLICE_ARG(parameter->member), strbuf_cstring(&names));
  strbuf_free(&names);
}

static void resolve_member(struct resolver *resolver, struct parameter *parameter)
{
  struct argument *argument = resolve_argument(resolver->query, parameter->name);
  if (argument == NULL) {
    findings_add(resolver->findings, resolver->service, resolver->query, parameter->at.data,
                 "nothing says what :" SLICE_FMT " is; add \"-- params: item.v1.Item as " SLICE_FMT "\"",
                 SLICE_ARG(parameter->name), SLICE_ARG(parameter->name));
    return;
  }
  argument->used = true;
  parameter->argument = argument;
  if (argument->message == NULL)
    return;
  parameter->field = message_field(argument->message, parameter->member);
  if (parameter->field == NULL || !resolve_can_be_parameter(parameter->field)) {
    report_unusable_field(resolver, argument, parameter);
    return;
  }
  if (parameter->field->optional && !parameter->nullable)
    findings_add(resolver->findings, resolver->service, resolver->query, parameter->at.data,
                 "%s." SLICE_FMT " is optional, so it may be NULL: write :" SLICE_FMT "?", argument->message->full_name,
                 SLICE_ARG(parameter->member), SLICE_ARG(parameter->at));
}

static void add_parameter(struct resolver *resolver, const struct token *token)
{
  struct query_source *query = resolver->query;
  const struct parameter *known = resolve_parameter(query, token);
  if (known != NULL) {
    if (known->nullable != token->nullable)
      findings_add(resolver->findings, resolver->service, query, token->text.data,
                   ":" SLICE_FMT
                   " is nullable (a question mark behind it) in one place and not in another; write it alike",
                   SLICE_ARG(token->text));
    return;
  }
  if (query->parameter_count == MAX_PARAMETERS) {
    findings_add(resolver->findings, resolver->service, query, token->text.data, "it has more than %d parameters",
                 MAX_PARAMETERS);
    return;
  }
  struct parameter *parameter = &query->parameters[query->parameter_count++];
  *parameter = (struct parameter){.at = token->text, .nullable = token->nullable};
  resolve_split(token->text, &parameter->name, &parameter->member);
  if (parameter->member.size > 0)
    resolve_member(resolver, parameter);
}

static void add_parameters(struct resolver *resolver, const struct tokens *tokens, unsigned depth)
{
  for (size_t i = 0; i < tokens->count; i++) {
    const struct token *token = &tokens->items[i];
    if (token->kind == TOKEN_PARAM)
      add_parameter(resolver, token);
    if (token->kind != TOKEN_HOLE || resolve_is_page_hole(resolver->query, token->text))
      continue;
    const struct fragment *fragment = resolve_fragment(resolver->service, token->text);
    if (fragment == NULL || depth == MAX_DEPTH)
      findings_add(resolver->findings, resolver->service, resolver->query, token->text.data,
                   "there is no fragment " SLICE_FMT "; write it below a line \"-- fragment: " SLICE_FMT "\"",
                   SLICE_ARG(token->text), SLICE_ARG(token->text));
    else
      add_parameters(resolver, &fragment->body, depth + 1);
  }
}

// ---- pages ----

static void check_request_field(struct resolver *resolver, const char *name, enum field_type type)
{
  const struct query_source *query = resolver->query;
  const struct field *field = message_field(query->request, slice_from_string(name));
  if (field == NULL || field->type != type || field->repeated || field->in_oneof || field->optional)
    findings_add(resolver->findings, resolver->service, query, query->request_at.data, "%s needs a field \"%s %s\"",
                 query->request->full_name, type == FIELD_INT32 ? "int32" : "string", name);
}

// Filters and orders are written without fragments and without the parts of a page.
static void refuse_holes(struct resolver *resolver, const struct tokens *tokens)
{
  for (size_t i = 0; i < tokens->count; i++)
    if (tokens->items[i].kind == TOKEN_HOLE)
      findings_add(resolver->findings, resolver->service, resolver->query, tokens->items[i].text.data,
                   "a filter or an order cannot use {" SLICE_FMT "}; write its SQL out",
                   SLICE_ARG(tokens->items[i].text));
}

static void resolve_filter(struct resolver *resolver, struct filter *filter)
{
  struct query_source *query = resolver->query;
  filter->field = message_field(query->request, filter->name);
  if (filter->field == NULL || filter->field->type != FIELD_STRING || filter->field->repeated ||
      filter->field->in_oneof || filter->field->optional)
    findings_add(resolver->findings, resolver->service, query, filter->name.data,
                 "%s has no field \"string " SLICE_FMT
                 "\"; a filter holds where the request's field of its name is not empty",
                 query->request->full_name, SLICE_ARG(filter->name));
  refuse_holes(resolver, &filter->condition);
  size_t parameters = 0;
  for (size_t i = 0; i < filter->condition.count; i++) {
    const struct token *token = &filter->condition.items[i];
    parameters += token->kind == TOKEN_PARAM;
    if (token->kind == TOKEN_PARAM && !slice_equal(token->text, filter->name))
      findings_add(resolver->findings, resolver->service, query, token->text.data,
                   "a filter has its own parameter only: :" SLICE_FMT, SLICE_ARG(filter->name));
  }
  if (parameters == 0)
    findings_add(resolver->findings, resolver->service, query, filter->name.data,
                 "the condition does not use :" SLICE_FMT, SLICE_ARG(filter->name));
}

static const struct field *field_of_json_name(const struct message *message, struct slice name)
{
  for (size_t i = 0; i < message->field_count; i++)
    if (slice_equal_string(name, message->fields[i].json_name))
      return &message->fields[i];
  return NULL;
}

static void resolve_order(struct resolver *resolver, struct order *order)
{
  const struct query_source *query = resolver->query;
  order->field = field_of_json_name(query->row, order->name);
  if (order->field != NULL && order->field->optional)
    order->field = NULL;
  if (order->field == NULL)
    findings_add(resolver->findings, resolver->service, query, order->at.data,
                 "an order is named as a field of %s is in JSON, such as createTime", query->row->full_name);
  refuse_holes(resolver, &order->expression);
  if (!slice_equal(order->id, query->orders[0].id))
    findings_add(resolver->findings, resolver->service, query, order->id.data,
                 "every order of a list must break ties by the same column; another one uses " SLICE_FMT,
                 SLICE_ARG(query->orders[0].id));
}

// True where the parts of a page stand each once and in order, because their parameters are counted in that order.
static bool has_page_parts(const struct query_source *query)
{
  static const char *const PARTS[] = {"filters", "order", "limit"};
  size_t found = 0;
  for (size_t i = 0; i < query->body.count; i++) {
    const struct token *token = &query->body.items[i];
    if (token->kind != TOKEN_HOLE || !resolve_is_page_hole(query, token->text))
      continue;
    if (found == ARRAY_LEN(PARTS) || !slice_equal_string(token->text, PARTS[found++]))
      return false;
  }
  return found == ARRAY_LEN(PARTS);
}

static void check_response(struct resolver *resolver)
{
  const struct query_source *query = resolver->query;
  const struct field *token = message_field(query->response, SLICE("next_page_token"));
  bool rows = false;
  for (size_t i = 0; i < query->response->field_count; i++) {
    const struct field *field = &query->response->fields[i];
    rows = rows || (field->repeated && strcmp(field->message, query->row->full_name) == 0);
  }
  if (token == NULL || token->type != FIELD_STRING || !rows)
    findings_add(resolver->findings, resolver->service, query, query->response_at.data,
                 "%s needs fields \"repeated %s\" and \"string next_page_token\"", query->response->full_name,
                 query->row->full_name);
}

static void check_page_annotations(struct resolver *resolver)
{
  const struct query_source *query = resolver->query;
  if (query->row_at.size == 0 || query->request_at.size == 0 || query->response_at.size == 0 ||
      query->order_count == 0 || query->default_order.size == 0 || query->page_size == 0)
    findings_add(resolver->findings, resolver->service, query, query->name.data,
                 "a page needs the annotations row, request, response, page, default, and an order at least");
  if (!has_page_parts(query))
    findings_add(
        resolver->findings, resolver->service, query, query->name.data,
        "a page is written as SELECT ... WHERE {filters} ORDER BY {order} LIMIT {limit}, each once and in this order");
  size_t parameters = query->parameter_count + query->filter_count + PAGE_PARAMETERS;
  if (parameters > MAX_PARAMETERS)
    findings_add(resolver->findings, resolver->service, query, query->name.data,
                 "its own parameters, one for each filter and %d for the page are %zu; at most %d are possible",
                 PAGE_PARAMETERS, parameters, MAX_PARAMETERS);
  size_t statements = 4 * query->order_count << query->filter_count;
  if (statements > MAX_PAGE_STATEMENTS)
    findings_add(
        resolver->findings, resolver->service, query, query->name.data,
        "its filters and orders make %zu statements; more than %d are too many to plan for: make two lists of it",
        statements, MAX_PAGE_STATEMENTS);
}

static void resolve_page(struct resolver *resolver)
{
  struct query_source *query = resolver->query;
  check_page_annotations(resolver);
  if (query->row == NULL || query->request == NULL || query->response == NULL)
    return;
  check_request_field(resolver, "page_size", FIELD_INT32);
  check_request_field(resolver, "page_token", FIELD_STRING);
  if (query->order_count > 1 || message_field(query->request, SLICE("order_by")) != NULL)
    check_request_field(resolver, "order_by", FIELD_STRING);
  for (size_t i = 0; i < query->filter_count; i++)
    resolve_filter(resolver, &query->filters[i]);
  for (size_t i = 0; i < query->order_count; i++)
    resolve_order(resolver, &query->orders[i]);
  check_response(resolver);
  check_requested(resolver->service, query, resolver->findings);
}

static void resolve_query(struct resolver *resolver)
{
  struct query_source *query = resolver->query;
  query->row = find_message(resolver, query->row_at);
  query->request = find_message(resolver, query->request_at);
  query->response = find_message(resolver, query->response_at);
  for (size_t i = 0; i < query->argument_count; i++)
    query->arguments[i].message = find_message(resolver, query->arguments[i].at);
  add_parameters(resolver, &query->body, 0);
  for (size_t i = 0; i < query->argument_count; i++)
    if (!query->arguments[i].used)
      findings_add(resolver->findings, resolver->service, query, query->arguments[i].at.data,
                   "the SQL does not use :" SLICE_FMT, SLICE_ARG(query->arguments[i].name));
  if (query->rows == ROWS_PAGE)
    resolve_page(resolver);
  check_stored(resolver->service, query, resolver->findings);
}

void resolve_service(struct service_source *service, const struct messages *messages, struct findings *findings)
{
  struct resolver resolver = {.service = service, .messages = messages, .findings = findings};
  for (size_t i = 0; i < service->query_count; i++) {
    resolver.query = &service->queries[i];
    resolve_query(&resolver);
  }
}
