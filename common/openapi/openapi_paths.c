// Writes paths, their operations and parameters.
#include "common/contract/contract_layout.h"
#include "common/openapi/openapi_internal.h"

// ---- parameters ----

static void begin_parameter(struct openapi *api, const char *name, const char *in, bool required)
{
  jsontext_begin_object(&api->json);
  jsontext_key_string(&api->json, "name", slice_from_string(name));
  jsontext_key_string(&api->json, "in", slice_from_string(in));
  if (required)
    jsontext_key_bool(&api->json, "required", true);
}

static void write_parameter_schema(struct openapi *api, const struct contract_field *field)
{
  struct contract_field bare = *field;
  // Comment and example are left out here because the parameter itself has them; readOnly applies to bodies only.
  bare.comment = "";
  bare.rules.output_only = false;
  bare.rules.example = NULL;
  jsontext_key(&api->json, SLICE("schema"));
  openapi_write_field_schema(api, &bare, SHAPE_CREATE);
}

// Ends a parameter with its example, which the API's page fills in. An optional parameter has no example: a list that
// is tried without filters shows what there is.
static void end_parameter(struct openapi *api, const struct contract_field *field)
{
  openapi_write_description(api, field->comment);
  write_parameter_schema(api, field);
  if (field->absence != NULL) {
    jsontext_key(&api->json, SLICE("example"));
    openapi_write_field_example(api, field, SHAPE_CREATE);
  }
  jsontext_end_object(&api->json);
}

static const struct contract_field *bound_field(const struct operation *operation, size_t segment)
{
  for (size_t i = 0; i < operation->path.variable_count; i++) {
    const struct contract_path_variable *variable = &operation->binding->variables[i];
    if (operation->path.variables[i].first_segment == segment)
      return variable->path[variable->depth - 1];
  }
  return NULL;
}

// Writes the path parameters. Their names come from the first operation of the shape, as those in the path do.
static void write_path_parameters(struct openapi *api, const struct operation *first, const struct operation *operation)
{
  size_t other = 0;
  for (size_t i = 0; i < first->path.segment_count;
       i = openapi_next_segment(first, i), other = openapi_next_segment(operation, other)) {
    if (!openapi_is_parameter(first, i))
      continue;
    const struct contract_field *field = bound_field(operation, other);
    begin_parameter(api, openapi_segment_name(api, first, i), "path", true);
    if (field != NULL) {
      openapi_write_description(api, field->comment);
      write_parameter_schema(api, field);
    } else {
      jsontext_key(&api->json, SLICE("schema"));
      jsontext_raw(&api->json, SLICE("{\"type\":\"string\"}"));
    }
    jsontext_key_string(&api->json, "example", openapi_segment_example(api, operation, other));
    jsontext_end_object(&api->json);
  }
}

// Whether the message of the field at `depth` lies around the field itself.
static bool holds_on_the_way(const struct contract_binding *binding, const struct contract_field **path, size_t depth)
{
  const struct contract_message *message = path[depth]->message;
  for (size_t i = 0; i < depth; i++)
    if (path[i]->message == message)
      return true;
  return message == binding->method->input;
}

// Writes the query parameters of one level of the request message. The recursion is CONTRACT_MAX_FIELD_PATH deep.
static void write_query_parameters(struct openapi *api, const struct contract_binding *binding,
                                   const struct contract_message *message, const struct contract_field **path,
                                   size_t depth)
{
  for (size_t i = 0; i < message->field_count && depth < CONTRACT_MAX_FIELD_PATH; i++) {
    const struct contract_field *field = &message->fields[i];
    path[depth] = field;
    bool inside = field_is_message(field, CONTRACT_PLAIN) && !field->repeated;
    if (field->rules.output_only || field->is_map || field->rules.from_header != NULL ||
        (depth == 0 && field == binding->body_field) || openapi_is_path_bound(binding, path, depth + 1))
      continue;
    // What a message holds of its own type would only say the same again.
    if (inside && holds_on_the_way(binding, path, depth))
      continue;
    if (inside) {
      write_query_parameters(api, binding, field->message, path, depth + 1);
      continue;
    }
    if (field->type == CONTRACT_MESSAGE && !openapi_is_one_value(field->message))
      continue;
    begin_parameter(api, openapi_parameter_name(api, path, depth + 1), "query", field->absence != NULL);
    end_parameter(api, field);
  }
}

static void write_header_parameters(struct openapi *api, const struct contract_message *message)
{
  const struct message_index *index = message_index(message);
  for (size_t i = 0; i < index->from_header_count; i++) {
    const struct contract_field *field = index->from_header[i];
    begin_parameter(api, field->rules.from_header, "header", field->absence != NULL);
    end_parameter(api, field);
  }
}

static void write_own_header(struct openapi *api, const char *name, const char *description)
{
  begin_parameter(api, name, "header", false);
  openapi_write_description(api, description);
  jsontext_key(&api->json, SLICE("schema"));
  jsontext_raw(&api->json, SLICE("{\"type\":\"string\"}"));
  jsontext_end_object(&api->json);
}

// Writes the preconditions of a read, which the gateway judges itself.
static void write_read_conditions(struct openapi *api)
{
  write_own_header(api, "If-None-Match",
                   "The ETag of a version that the client has; 304 comes back while it is the present one.");
  write_own_header(api, "If-Match", "The ETag of the version that is wanted; 412 when another one is the present one.");
}

static void write_idempotency_key(struct openapi *api, const struct contract_method *method)
{
  begin_parameter(api, "Idempotency-Key", "header", false);
  openapi_write_description(
      api,
      method->secret_reply
          ? "A text of the client's choice that is hard to guess, such as a UUID, new for each request and the same "
            "in its repeats, for 24 hours. A repeat of what has succeeded has no effect and is answered with 409, "
            "because the reply holds secrets and is not kept."
          : "A text of the client's choice that is hard to guess, such as a UUID, new for each request and the same "
            "in its repeats, for 24 hours. A repeat of what has succeeded has no effect and is answered as the "
            "first request was, also if what it created has been changed or deleted since.");
  jsontext_key(&api->json, SLICE("schema"));
  jsontext_raw(&api->json, SLICE("{\"type\":\"string\",\"minLength\":1,\"maxLength\":128}"));
  jsontext_end_object(&api->json);
}

// Writes how long the client may say it waits.
static void write_time_limit(struct openapi *api, const struct contract_method *method)
{
  begin_parameter(api, "Request-Timeout", "header", false);
  openapi_write_description(
      api, arena_printf(&api->arena,
                        "How many seconds the client waits for the answer, at most %u.%03u here. When they are over, "
                        "work on the request ends and 504 comes back. `Grpc-Timeout` (`250m`) and `Connect-Timeout-Ms` "
                        "(`250`) say the same.",
                        method->timeout_ms / 1000, method->timeout_ms % 1000));
  jsontext_key(&api->json, SLICE("schema"));
  jsontext_raw(&api->json, SLICE("{\"type\":\"string\",\"pattern\":\"^[0-9]{1,9}(\\\\.[0-9]{1,9})?$\"}"));
  jsontext_end_object(&api->json);
}

static void write_parameters(struct openapi *api, const struct operation *first, const struct operation *operation)
{
  const struct contract_binding *binding = operation->binding;
  const struct contract_field *path[CONTRACT_MAX_FIELD_PATH];
  jsontext_key(&api->json, SLICE("parameters"));
  jsontext_begin_array(&api->json);
  write_path_parameters(api, first, operation);
  if (binding->body != CONTRACT_BODY_ALL)
    write_query_parameters(api, binding, binding->method->input, path, 0);
  write_header_parameters(api, binding->method->input);
  if (openapi_has_etag(binding))
    write_read_conditions(api);
  if (binding->method->takes_idempotency_key)
    write_idempotency_key(api, binding->method);
  write_time_limit(api, binding->method);
  jsontext_end_array(&api->json);
}

// ---- bodies ----

static void write_body_content(struct openapi *api, const struct contract_binding *binding)
{
  enum shape shape = openapi_body_shape(binding);
  jsontext_key(&api->json, SLICE("schema"));
  if (binding->body_field != NULL)
    openapi_write_field_schema(api, binding->body_field, shape);
  else
    openapi_write_message_schema(api, binding->method->input, shape);
  jsontext_key(&api->json, SLICE("example"));
  if (binding->body_field != NULL)
    openapi_write_field_example(api, binding->body_field, shape);
  else
    openapi_write_message_example(api, binding->method->input, shape, binding);
}

static void write_media_type(struct openapi *api, const struct contract_binding *binding, const char *media_type)
{
  jsontext_key(&api->json, slice_from_string(media_type));
  jsontext_begin_object(&api->json);
  write_body_content(api, binding);
  jsontext_end_object(&api->json);
}

// Whether every request has a body: one that may be empty may be left out.
static bool is_body_required(const struct contract_binding *binding)
{
  const struct contract_message *input = binding->method->input;
  if (contract_needs_body(binding))
    return true;
  if (binding->body != CONTRACT_BODY_ALL)
    return false;
  for (size_t i = 0; i < input->field_count; i++)
    if (input->fields[i].absence != NULL && openapi_has_field(&input->fields[i], SHAPE_CREATE, binding))
      return true;
  return message_index(input)->has_required_oneof;
}

static void write_request_body(struct openapi *api, const struct contract_binding *binding)
{
  if (binding->body == CONTRACT_BODY_NONE)
    return;
  jsontext_key(&api->json, SLICE("requestBody"));
  jsontext_begin_object(&api->json);
  bool streams = binding->method->client_streams;
  openapi_write_text(
      api, "description",
      arena_printf(&api->arena,
                   streams ? "Any number of lines, each of them a message of %u bytes at most." : "At most %u bytes.",
                   binding->method->max_body_bytes));
  jsontext_key_bool(&api->json, "required", streams || is_body_required(binding));
  jsontext_key(&api->json, SLICE("content"));
  jsontext_begin_object(&api->json);
  write_media_type(api, binding, streams ? "application/x-ndjson" : "application/json");
  if (strcmp(binding->http_method, "PATCH") == 0)
    write_media_type(api, binding, "application/merge-patch+json");
  jsontext_end_object(&api->json);
  jsontext_end_object(&api->json);
}

// ---- operations ----

// Writes what the method needs for programs that read it.
static void write_permission(struct openapi *api, const struct contract_method *method)
{
  const struct policy *policy = &method->policy;
  if (policy->permission == NULL)
    return;
  jsontext_key_string(&api->json, "x-permission", slice_from_string(policy->permission));
  if (policy->permission_any != NULL)
    jsontext_key_string(&api->json, "x-permission-any", slice_from_string(policy->permission_any));
  if (policy->every_user)
    jsontext_key_bool(&api->json, "x-every-user", true);
}

// Each role is a security requirement of its own, because any of them is enough. A permission is the only requirement.
static void write_security(struct openapi *api, const struct contract_method *method)
{
  jsontext_key(&api->json, SLICE("security"));
  jsontext_begin_array(&api->json);
  for (size_t i = 0; i < (!policy_needs_token(&method->policy) ? 0
                          : method->policy.role_count == 0     ? 1
                                                               : method->policy.role_count);
       i++) {
    jsontext_begin_object(&api->json);
    jsontext_key(&api->json, SLICE("bearer"));
    jsontext_begin_array(&api->json);
    if (i < method->policy.role_count)
      jsontext_string(&api->json, slice_from_string(method->policy.roles[i]));
    if (method->policy.permission != NULL)
      jsontext_string(&api->json, slice_from_string(method->policy.permission));
    jsontext_end_array(&api->json);
    jsontext_end_object(&api->json);
  }
  jsontext_end_array(&api->json);
}

// Returns the HTTP method as OpenAPI writes it.
static const char *lower_http_method(struct openapi *api, const struct operation *operation)
{
  char *verb = arena_string(&api->arena, slice_from_string(operation->http_method));
  for (char *c = verb; *c != '\0'; c++)
    *c = (char)(*c | 0x20);
  return verb;
}

static const char *operation_id(struct openapi *api, const struct operation *operation)
{
  const struct contract_method *method = operation->binding->method;
  const char *dot = strrchr(method->service_full_name, '.');
  const char *service = dot == NULL ? method->service_full_name : dot + 1;
  const char *id = arena_printf(&api->arena, "%s_%s", service, method->name);
  if (operation->ordinal > 1)
    id = arena_printf(&api->arena, "%s_%u", id, operation->ordinal);
  if (contract_takes_any_method(operation->binding))
    id = arena_printf(&api->arena, "%s_%s", id, lower_http_method(api, operation));
  return id;
}

// Returns what the method needs of its caller, in sentences; "" where that is a token at most.
static const char *describe_needs(struct openapi *api, const struct policy *policy)
{
  const char *text = "";
  if (policy->permission_any != NULL)
    text = arena_printf(&api->arena, "Needs the permission `%s`, and `%s` for what belongs to others.",
                        policy->permission, policy->permission_any);
  else if (policy->permission != NULL)
    text = arena_printf(&api->arena, "Needs the permission `%s`.", policy->permission);
  if (policy->max_auth_age_s == 0)
    return text;
  return arena_printf(&api->arena, "%s%sNeeds a login that is not older than %u seconds.", text,
                      *text == '\0' ? "" : " ", policy->max_auth_age_s);
}

// Returns the method's comment, with what it needs.
static const char *describe_operation(struct openapi *api, const struct contract_method *method)
{
  const char *needs = describe_needs(api, &method->policy);
  if (*needs == '\0')
    return method->comment;
  return arena_printf(&api->arena, "%s%s%s", method->comment, *method->comment == '\0' ? "" : "\n\n", needs);
}

static void write_operation(struct openapi *api, const struct operation *first, const struct operation *operation)
{
  const struct contract_binding *binding = operation->binding;
  const struct contract_method *method = binding->method;
  jsontext_key(&api->json, slice_from_string(lower_http_method(api, operation)));
  jsontext_begin_object(&api->json);
  jsontext_key_string(&api->json, "operationId", slice_from_string(operation_id(api, operation)));
  if (*method->comment != '\0')
    jsontext_key_string(&api->json, "summary", openapi_first_sentence(api, method->comment));
  openapi_write_description(api, describe_operation(api, method));
  jsontext_key(&api->json, SLICE("tags"));
  jsontext_begin_array(&api->json);
  jsontext_string(&api->json, slice_from_string(method->service_title));
  jsontext_end_array(&api->json);
  write_parameters(api, first, operation);
  write_request_body(api, binding);
  openapi_write_responses(api, operation);
  write_security(api, method);
  write_permission(api, method);
  jsontext_end_object(&api->json);
}

// Whether the operation is the first of its path, and so opens the path item.
static bool is_first(const struct operation *operations, size_t place)
{
  for (size_t i = 0; i < place; i++)
    if (slice_equal(operations[i].shape, operations[place].shape))
      return false;
  return true;
}

void openapi_write_paths(struct openapi *api, const struct operation *operations, size_t count)
{
  jsontext_key(&api->json, SLICE("paths"));
  jsontext_begin_object(&api->json);
  for (size_t i = 0; i < count; i++) {
    if (!is_first(operations, i))
      continue;
    jsontext_key(&api->json, slice_from_string(operations[i].rendered_path));
    jsontext_begin_object(&api->json);
    for (size_t j = i; j < count; j++)
      if (slice_equal(operations[j].shape, operations[i].shape))
        write_operation(api, &operations[i], &operations[j]);
    jsontext_end_object(&api->json);
  }
  jsontext_end_object(&api->json);
}
