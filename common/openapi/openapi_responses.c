// Writes the responses of an operation: its success, and a problem document for each status that it can fail with.
#include "common/base/compiler.h"
#include "common/contract/contract_layout.h"
#include "common/openapi/openapi_internal.h"

#define MAX_STATUSES 32

// ---- success ----

// Writes the forms of a stream of responses. Each line of JSON, and the data of each event, is a message.
static void write_stream_content(struct openapi *api, const struct contract_method *method)
{
  static const char *const types[] = {"application/x-ndjson", "text/event-stream", "application/json"};
  jsontext_key(&api->json, SLICE("content"));
  jsontext_begin_object(&api->json);
  for (size_t i = 0; i < ARRAY_LEN(types); i++) {
    bool is_array = i == 2;
    jsontext_key(&api->json, slice_from_string(types[i]));
    jsontext_begin_object(&api->json);
    jsontext_key(&api->json, SLICE("schema"));
    if (is_array) {
      jsontext_begin_object(&api->json);
      jsontext_key_string(&api->json, "type", SLICE("array"));
      jsontext_key(&api->json, SLICE("items"));
    }
    openapi_write_message_schema(api, method->output, SHAPE_REPLY);
    if (is_array)
      jsontext_end_object(&api->json);
    jsontext_end_object(&api->json);
  }
  jsontext_end_object(&api->json);
}

static void write_content(struct openapi *api, const struct operation *operation)
{
  const struct contract_method *method = operation->binding->method;
  const struct contract_field *field = operation->binding->response_body_field;
  jsontext_key(&api->json, SLICE("content"));
  jsontext_begin_object(&api->json);
  jsontext_key(&api->json, SLICE("application/json"));
  jsontext_begin_object(&api->json);
  jsontext_key(&api->json, SLICE("schema"));
  if (field != NULL)
    openapi_write_body_schema(api, operation->binding);
  else
    openapi_write_message_schema(api, method->output, SHAPE_REPLY);
  jsontext_key(&api->json, SLICE("example"));
  if (field != NULL)
    openapi_write_field_example(api, field, SHAPE_REPLY);
  else
    openapi_write_message_example(api, method->output, SHAPE_REPLY, NULL);
  jsontext_end_object(&api->json);
  jsontext_end_object(&api->json);
}

static void write_header(struct openapi *api, const char *name, const char *description, const char *schema)
{
  jsontext_key(&api->json, slice_from_string(name));
  jsontext_begin_object(&api->json);
  openapi_write_description(api, description);
  jsontext_key_bool(&api->json, "required", true);
  jsontext_key(&api->json, SLICE("schema"));
  jsontext_raw(&api->json, slice_from_string(schema));
  jsontext_end_object(&api->json);
}

static void write_success_headers(struct openapi *api, const struct contract_binding *binding)
{
  const struct contract_method *method = binding->method;
  const struct message_index *index = message_index(contract_body_message(binding));
  if (index->to_header_count == 0 && method->location == NULL)
    return;
  jsontext_key(&api->json, SLICE("headers"));
  jsontext_begin_object(&api->json);
  for (size_t i = 0; i < index->to_header_count; i++)
    write_header(api, index->to_header[i]->rules.to_header, index->to_header[i]->comment, "{\"type\":\"string\"}");
  if (method->location != NULL)
    write_header(api, "Location", "Where to find what was created.",
                 "{\"type\":\"string\",\"format\":\"uri-reference\"}");
  jsontext_end_object(&api->json);
}

// Returns the description of a success: the comment of the reply's message. For an empty reply it is what the method
// does, because Empty's comment says nothing about it.
static const char *success_description(struct openapi *api, const struct contract_method *method)
{
  if (method->output->well_known == CONTRACT_PLAIN && *method->output->comment != '\0')
    return method->output->comment;
  if (*method->comment == '\0')
    return "Success.";
  return arena_printf(&api->arena, SLICE_FMT ".", SLICE_ARG(openapi_first_sentence(api, method->comment)));
}

static void begin_status(struct openapi *api, int http_status)
{
  jsontext_key(&api->json, slice_from_string(arena_printf(&api->arena, "%d", http_status)));
  jsontext_begin_object(&api->json);
}

static void write_success(struct openapi *api, const struct operation *operation)
{
  const struct contract_method *method = operation->binding->method;
  begin_status(api, method->success_status);
  openapi_write_text(api, "description", success_description(api, method));
  write_success_headers(api, operation->binding);
  if (method->server_streams)
    write_stream_content(api, method);
  else if (method->success_status != 204)
    write_content(api, operation);
  jsontext_end_object(&api->json);
}

bool openapi_has_etag(const struct contract_binding *binding)
{
  const struct message_index *index = message_index(contract_body_message(binding));
  for (size_t i = 0; i < index->to_header_count; i++)
    if (slice_equal_ignore_case(slice_from_string(index->to_header[i]->rules.to_header), SLICE("ETag")))
      return strcmp(binding->http_method, "GET") == 0;
  return false;
}

static void write_not_modified(struct openapi *api)
{
  begin_status(api, 304);
  openapi_write_text(api, "description", "The version that If-None-Match names is the present one.");
  jsontext_key(&api->json, SLICE("headers"));
  jsontext_begin_object(&api->json);
  write_header(api, "ETag", "The present version.", "{\"type\":\"string\"}");
  jsontext_end_object(&api->json);
  jsontext_end_object(&api->json);
}

// ---- problems: which ----

static bool reads_header(const struct contract_message *message, struct slice name)
{
  const struct message_index *index = message_index(message);
  for (size_t i = 0; i < index->from_header_count; i++)
    if (slice_equal_ignore_case(slice_from_string(index->from_header[i]->rules.from_header), name))
      return true;
  return false;
}

static bool declares(const struct contract_method *method, enum status code)
{
  for (size_t i = 0; i < method->error_count; i++)
    if (method->errors[i].code == code)
      return true;
  return false;
}

// Whether the method declares an error with the reason of a general problem, so that it says itself what that means.
static bool declares_reason(const struct contract_method *method, const struct openapi_problem *problem)
{
  for (size_t i = 0; i < method->error_count; i++)
    if (problem->reason != NULL && strcmp(method->errors[i].reason, problem->reason) == 0)
      return true;
  return false;
}

static bool applies(const struct openapi_problem *problem, const struct contract_binding *binding)
{
  const struct contract_method *method = binding->method;
  if (declares_reason(method, problem))
    return false;
  switch (problem->when) {
  case OPENAPI_ALWAYS:
    return true;
  case OPENAPI_NEEDS_TOKEN:
    return policy_needs_token(&method->policy);
  case OPENAPI_NEEDS_ROLE:
    return method->policy.access == ACCESS_ROLE;
  case OPENAPI_NEEDS_PERMISSION:
    return method->policy.permission != NULL;
  case OPENAPI_NEEDS_PERSON:
    return policy_needs_token(&method->policy) && method->policy.permission == NULL;
  case OPENAPI_NEEDS_RECENT_LOGIN:
    return method->policy.max_auth_age_s > 0;
  case OPENAPI_TAKES_BODY:
    return binding->body != CONTRACT_BODY_NONE;
  case OPENAPI_SENDS_STREAM:
    return method->server_streams;
  case OPENAPI_NAMES_RESOURCE:
    return binding->variable_count > 0 && !declares(method, STATUS_NOT_FOUND);
  case OPENAPI_TAKES_IF_MATCH:
    return reads_header(method->input, SLICE("If-Match")) || openapi_has_etag(binding);
  case OPENAPI_TAKES_IF_NONE_MATCH:
    return reads_header(method->input, SLICE("If-None-Match"));
  case OPENAPI_TAKES_KEY:
    return method->takes_idempotency_key;
  case OPENAPI_KEEPS_NO_REPLY:
    return method->secret_reply;
  case OPENAPI_NOT_DOCUMENTED:
    break;
  }
  return false;
}

struct status_list {
  int statuses[MAX_STATUSES];  // statuses in ascending order
  size_t count;
};

static void add_status(struct status_list *list, int http_status)
{
  size_t at = 0;
  while (at < list->count && list->statuses[at] < http_status)
    at++;
  if (list->count == ARRAY_LEN(list->statuses) || (at < list->count && list->statuses[at] == http_status))
    return;
  memmove(&list->statuses[at + 1], &list->statuses[at], (list->count - at) * sizeof(list->statuses[0]));
  list->statuses[at] = http_status;
  list->count++;
}

static void collect_statuses(const struct openapi *api, const struct contract_binding *binding,
                             struct status_list *list)
{
  list->count = 0;
  for (size_t i = 0; i < api->options->problem_count; i++)
    if (applies(&api->options->problems[i], binding))
      add_status(list, api->options->problems[i].http_status);
  for (size_t i = 0; i < binding->method->error_count; i++)
    add_status(list, status_http(binding->method->errors[i].code));
}

// ---- problems: how ----

static void write_problem_headers(struct openapi *api, int http_status)
{
  bool waits = http_status == 429 || http_status == 503;
  if (!waits && http_status != 401)
    return;
  jsontext_key(&api->json, SLICE("headers"));
  jsontext_begin_object(&api->json);
  if (waits)
    write_header(api, "Retry-After", "Seconds to wait before the next try.", "{\"type\":\"integer\",\"minimum\":1}");
  else
    write_header(api, "WWW-Authenticate", "The challenge of RFC 6750, or of RFC 9470 where the login is too old.",
                 "{\"type\":\"string\"}");
  jsontext_end_object(&api->json);
}

static void begin_problem(struct openapi *api, const char *description, int http_status)
{
  openapi_write_text(api, "description", description);
  write_problem_headers(api, http_status);
  jsontext_key(&api->json, SLICE("content"));
  jsontext_begin_object(&api->json);
  jsontext_key(&api->json, SLICE("application/problem+json"));
  jsontext_begin_object(&api->json);
  jsontext_key(&api->json, SLICE("schema"));
  jsontext_raw(&api->json, SLICE("{\"$ref\":\"#/components/schemas/Problem\"}"));
  jsontext_key(&api->json, SLICE("examples"));
  jsontext_begin_object(&api->json);
}

static void end_problem(struct openapi *api)
{
  jsontext_end_object(&api->json);
  jsontext_end_object(&api->json);
  jsontext_end_object(&api->json);
}

static void write_problem_example(struct openapi *api, const struct openapi_problem *problem, struct slice path)
{
  struct strbuf document;
  strbuf_init(&document, 0);
  api->options->write_problem(problem, path, &document);
  jsontext_key(&api->json, slice_from_string(problem->reason != NULL ? problem->reason : status_name(problem->code)));
  jsontext_begin_object(&api->json);
  jsontext_key(&api->json, SLICE("value"));
  jsontext_raw(&api->json, strbuf_slice(&document));
  jsontext_end_object(&api->json);
  strbuf_free(&document);
}

// Returns the shared response that says everything about a status of the operation. NULL where the operation declares
// errors of its own with that status.
static const char *find_shared(const struct openapi *api, const struct contract_binding *binding, int http_status)
{
  const char *shared = NULL;
  for (size_t i = 0; i < binding->method->error_count; i++)
    if (status_http(binding->method->errors[i].code) == http_status)
      return NULL;
  for (size_t i = 0; i < api->options->problem_count; i++) {
    const struct openapi_problem *problem = &api->options->problems[i];
    if (problem->http_status != http_status || !applies(problem, binding))
      continue;
    if (shared != NULL && strcmp(shared, problem->response) != 0)
      return NULL;
    shared = problem->response;
  }
  return shared;
}

// Describes a status by the reasons of its problems: "Not Found: ITEM_NOT_FOUND."
static const char *describe_reasons(struct openapi *api, const struct contract_binding *binding, int http_status)
{
  const char *text = api->options->status_title(http_status);
  const char *separator = ": ";
  for (size_t i = 0; i < binding->method->error_count; i++) {
    const struct contract_error *error = &binding->method->errors[i];
    if (status_http(error->code) != http_status)
      continue;
    text = arena_printf(&api->arena, "%s%s`%s`", text, separator, error->reason);
    separator = ", ";
  }
  for (size_t i = 0; i < api->options->problem_count; i++) {
    const struct openapi_problem *problem = &api->options->problems[i];
    if (problem->http_status != http_status || problem->reason == NULL || !applies(problem, binding))
      continue;
    text = arena_printf(&api->arena, "%s%s`%s`", text, separator, problem->reason);
    separator = ", ";
  }
  return arena_printf(&api->arena, "%s.", text);
}

static void write_own_problems(struct openapi *api, const struct operation *operation, int http_status)
{
  const struct contract_binding *binding = operation->binding;
  begin_problem(api, describe_reasons(api, binding, http_status), http_status);
  for (size_t i = 0; i < binding->method->error_count; i++) {
    const struct contract_error *error = &binding->method->errors[i];
    if (status_http(error->code) != http_status)
      continue;
    struct openapi_problem problem = {.http_status = http_status,
                                      .code = error->code,
                                      .reason = error->reason,
                                      .detail = *error->detail == '\0' ? NULL : error->detail};
    write_problem_example(api, &problem, operation->example_path);
  }
  for (size_t i = 0; i < api->options->problem_count; i++)
    if (api->options->problems[i].http_status == http_status && applies(&api->options->problems[i], binding))
      write_problem_example(api, &api->options->problems[i], operation->example_path);
  end_problem(api);
}

static void write_response_ref(struct openapi *api, const char *response)
{
  openapi_write_text(api, "$ref", arena_printf(&api->arena, "#/components/responses/%s", response));
}

static void write_problems(struct openapi *api, const struct operation *operation)
{
  struct status_list list;
  collect_statuses(api, operation->binding, &list);
  for (size_t i = 0; i < list.count; i++) {
    const char *shared = find_shared(api, operation->binding, list.statuses[i]);
    begin_status(api, list.statuses[i]);
    if (shared != NULL)
      write_response_ref(api, shared);
    else
      write_own_problems(api, operation, list.statuses[i]);
    jsontext_end_object(&api->json);
  }
  for (size_t i = 0; i < api->options->problem_count; i++) {
    if (api->options->problems[i].when != OPENAPI_NOT_DOCUMENTED)
      continue;
    jsontext_key(&api->json, SLICE("default"));
    jsontext_begin_object(&api->json);
    write_response_ref(api, api->options->problems[i].response);
    jsontext_end_object(&api->json);
    break;
  }
}

void openapi_write_responses(struct openapi *api, const struct operation *operation)
{
  jsontext_key(&api->json, SLICE("responses"));
  jsontext_begin_object(&api->json);
  write_success(api, operation);
  if (openapi_has_etag(operation->binding))
    write_not_modified(api);
  write_problems(api, operation);
  jsontext_end_object(&api->json);
}

// ---- components.responses ----

static bool is_first_of_response(const struct openapi_problem *problems, size_t place)
{
  for (size_t i = 0; i < place; i++)
    if (strcmp(problems[i].response, problems[place].response) == 0)
      return false;
  return true;
}

// Finds the first operation that refers to the shared response. Returns false when none does, so that the response is
// left out.
static bool find_user(const struct openapi *api, const struct operation *operations, size_t count,
                      const struct openapi_problem *problem, const struct operation **out)
{
  for (size_t i = 0; i < count; i++) {
    const char *shared = problem->when == OPENAPI_NOT_DOCUMENTED
                             ? problem->response
                             : find_shared(api, operations[i].binding, problem->http_status);
    if (shared == NULL || strcmp(shared, problem->response) != 0)
      continue;
    *out = &operations[i];
    return true;
  }
  return false;
}

void openapi_write_shared_responses(struct openapi *api, const struct operation *operations, size_t count)
{
  const struct openapi_problem *problems = api->options->problems;
  jsontext_begin_object(&api->json);
  for (size_t i = 0; i < api->options->problem_count; i++) {
    const struct openapi_problem *first = &problems[i];
    const struct operation *user = NULL;
    if (!is_first_of_response(problems, i) || !find_user(api, operations, count, first, &user))
      continue;
    jsontext_key(&api->json, slice_from_string(first->response));
    jsontext_begin_object(&api->json);
    begin_problem(api, first->description, first->http_status);
    for (size_t j = i; j < api->options->problem_count; j++)
      if (strcmp(problems[j].response, first->response) == 0)
        write_problem_example(api, &problems[j], user->example_path);
    end_problem(api);
    jsontext_end_object(&api->json);
  }
  jsontext_end_object(&api->json);
}
