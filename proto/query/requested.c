#include "proto/query/requested.h"

#include "common/base/compiler.h"

struct check {
  const struct service_source *service;
  struct query_source *query;
  struct findings *findings;
};

// ---- filters ----

// True for a field that steers the page itself.
static bool is_of_page(const struct field *field)
{
  static const char *const NAMES[] = {"page_size", "page_token", "order_by"};
  for (size_t i = 0; i < ARRAY_LEN(NAMES); i++)
    if (slice_equal_string(slice_from_string(field->name), NAMES[i]))
      return true;
  return false;
}

static bool is_filter(const struct query_source *query, const struct field *field)
{
  for (size_t i = 0; i < query->filter_count; i++)
    if (query->filters[i].field == field)
      return true;
  return false;
}

static bool is_parameter(const struct query_source *query, const struct field *field)
{
  for (size_t i = 0; i < query->parameter_count; i++) {
    const struct parameter *parameter = &query->parameters[i];
    if (parameter->field == field || (parameter->member.size == 0 && slice_equal_string(parameter->name, field->name)))
      return true;
  }
  return false;
}

static bool is_left_out(const struct query_source *query, const struct field *field)
{
  for (size_t i = 0; i < query->omission_count; i++)
    if (query->omissions[i].field == field)
      return true;
  return false;
}

static void resolve_omission(struct check *check, struct omission *omission)
{
  const struct query_source *query = check->query;
  omission->field = message_field(query->request, omission->at);
  if (omission->field == NULL)
    findings_add(check->findings, check->service, query, omission->at.data, "%s has no field " SLICE_FMT,
                 query->request->full_name, SLICE_ARG(omission->at));
  else if (is_of_page(omission->field) || is_filter(query, omission->field) || is_parameter(query, omission->field))
    findings_add(check->findings, check->service, query, omission->at.data,
                 "the list uses " SLICE_FMT ", so it is not left out; remove the line", SLICE_ARG(omission->at));
}

static void report_ignored(struct check *check, const struct field *field)
{
  const struct query_source *query = check->query;
  bool can_filter = field->type == FIELD_STRING && !field->repeated && !field->in_oneof && !field->optional;
  if (can_filter)
    findings_add(check->findings, check->service, query, query->request_at.data,
                 "clients may ask for %s.%s, which this list does not use, so it would be ignored; write \"-- filter "
                 "%s: COLUMN = :%s\", use the parameter :%s in the SQL, or say why it has no effect: \"-- without %s: "
                 "why\"",
                 query->request->full_name, field->name, field->name, field->name, field->name, field->name);
  else
    findings_add(check->findings, check->service, query, query->request_at.data,
                 "clients may ask for %s.%s, which this list does not use, so it would be ignored; use the parameter "
                 ":%s in the SQL, or say why it has no effect: \"-- without %s: why\" (only a string can be a filter)",
                 query->request->full_name, field->name, field->name, field->name);
}

static void check_filters(struct check *check)
{
  struct query_source *query = check->query;
  for (size_t i = 0; i < query->omission_count; i++)
    if (slice_find(query->omissions[i].at, '.', 0) == query->omissions[i].at.size)
      resolve_omission(check, &query->omissions[i]);
  for (size_t i = 0; i < query->request->field_count; i++) {
    const struct field *field = &query->request->fields[i];
    if (!is_of_page(field) && !is_filter(query, field) && !is_parameter(query, field) && !is_left_out(query, field))
      report_ignored(check, field);
  }
}

// ---- orders ----

static struct slice name_of_order(const char *order_by)
{
  struct slice text = slice_from_string(order_by);
  return slice_make(text.data, slice_find(text, ' ', 0));
}

static bool has_direction(const char *order_by)
{
  struct slice direction = slice_skip(slice_from_string(order_by), name_of_order(order_by).size);
  return direction.size == 0 || slice_equal_string(direction, " asc") || slice_equal_string(direction, " desc");
}

static bool has_order(const struct query_source *query, struct slice name)
{
  for (size_t i = 0; i < query->order_count; i++)
    if (slice_equal(query->orders[i].name, name))
      return true;
  return false;
}

static bool shares_request(const struct query_source *a, const struct query_source *b)
{
  return b->rows == ROWS_PAGE && slice_equal(a->request_at, b->request_at);
}

static bool some_list_has_order(const struct check *check, struct slice name)
{
  for (size_t i = 0; i < check->service->query_count; i++) {
    const struct query_source *other = &check->service->queries[i];
    if (shares_request(check->query, other) && has_order(other, name))
      return true;
  }
  return false;
}

static bool is_first_of_request(const struct check *check)
{
  const struct query_source *first = check->service->queries;
  while (!shares_request(check->query, first))
    first++;
  return first == check->query;
}

static bool is_named_before(const struct field *order_by, size_t index)
{
  for (size_t i = 0; i < index; i++)
    if (slice_equal(name_of_order(order_by->one_of[i]), name_of_order(order_by->one_of[index])))
      return true;
  return false;
}

// Reports the orders that the contract accepts and no list has.
static void check_accepted_orders(struct check *check, const struct field *order_by)
{
  const struct query_source *query = check->query;
  for (size_t i = 0; i < order_by->one_of_count; i++) {
    const char *text = order_by->one_of[i];
    struct slice name = name_of_order(text);
    if (text[0] == '\0')
      continue;
    if (!has_direction(text))
      findings_add(check->findings, check->service, query, query->request_at.data,
                   "%s.order_by accepts \"%s\", which is not an order; write a name, a space, and asc or desc in the "
                   "contract's one_of",
                   query->request->full_name, text);
    else if (!some_list_has_order(check, name) && !is_named_before(order_by, i))
      findings_add(check->findings, check->service, query, query->request_at.data,
                   "%s.order_by accepts \"%s\", which no list has; write \"-- order " SLICE_FMT ": COLUMN, " SLICE_FMT
                   "\", or remove it from one_of in the contract",
                   query->request->full_name, text, SLICE_ARG(name), SLICE_ARG(query->orders[0].id));
  }
}

// True where clients can ask for the order by its name, or by an empty text if it is the default.
static bool is_accepted(const struct field *order_by, const struct query_source *query, struct slice name)
{
  struct slice by_default = slice_make(query->default_order.data, slice_find(query->default_order, ' ', 0));
  for (size_t i = 0; i < order_by->one_of_count; i++) {
    const char *text = order_by->one_of[i];
    if (slice_equal(text[0] == '\0' ? by_default : name_of_order(text), name))
      return true;
  }
  return order_by->one_of_count == 0;
}

// Reports the orders of the query that the contract does not accept.
static void check_own_orders(struct check *check, const struct field *order_by)
{
  const struct query_source *query = check->query;
  for (size_t i = 0; i < query->order_count; i++) {
    const struct order *order = &query->orders[i];
    if (!is_accepted(order_by, query, order->name))
      findings_add(check->findings, check->service, query, order->at.data,
                   "no client can ask for this order, because one_of of %s.order_by does not name it; add \"" SLICE_FMT
                   " asc\" and \"" SLICE_FMT " desc\" in the contract, or remove the line",
                   query->request->full_name, SLICE_ARG(order->name), SLICE_ARG(order->name));
  }
}

void check_requested(const struct service_source *service, struct query_source *query, struct findings *findings)
{
  struct check check = {.service = service, .query = query, .findings = findings};
  check_filters(&check);
  const struct field *order_by = message_field(query->request, SLICE("order_by"));
  if (order_by == NULL || query->order_count == 0)
    return;
  if (is_first_of_request(&check))
    check_accepted_orders(&check, order_by);
  check_own_orders(&check, order_by);
}
