// Paths and their operations.
#include "common/contract/tables.h"
#include "common/openapi/openapi_internal.h"

// ---- names and texts ----

// "item.id" in JSON names.
static const char *parameter_name(struct openapi *api, const struct contract_field *const *path, size_t depth)
{
  const char *name = "";
  for (size_t i = 0; i < depth; i++)
    name = arena_printf(&api->arena, "%s%s" SLICE_FMT, name, i == 0 ? "" : ".", SLICE_ARG(path[i]->json_name));
  return name;
}

// What a place of the path is called: the variable's field, or, for a bare wildcard, its number.
static const char *segment_name(struct openapi *api, const struct operation *operation, size_t segment)
{
  for (size_t i = 0; i < operation->path.variable_count; i++) {
    const struct contract_path_variable *variable = &operation->binding->variables[i];
    if (operation->path.variables[i].first_segment == segment)
      return parameter_name(api, variable->path, variable->depth);
  }
  return arena_printf(&api->arena, "segment%zu", segment + 1);
}

static size_t next_segment(const struct operation *operation, size_t segment)
{
  for (size_t i = 0; i < operation->path.variable_count; i++)
    if (operation->path.variables[i].first_segment == segment)
      return operation->path.variables[i].end_segment;
  return segment + 1;
}

static bool is_variable(const struct operation *operation, size_t segment)
{
  return operation->path.segments[segment].kind != SEGMENT_LITERAL || next_segment(operation, segment) != segment + 1;
}

// Also a variable of one literal.
static bool is_parameter(const struct operation *operation, size_t segment)
{
  for (size_t i = 0; i < operation->path.variable_count; i++)
    if (operation->path.variables[i].first_segment == segment)
      return true;
  return is_variable(operation, segment);
}

static const char *render_path(struct openapi *api, const struct operation *operation)
{
  const char *path = "";
  for (size_t i = 0; i < operation->path.segment_count; i = next_segment(operation, i))
    path = is_parameter(operation, i)
               ? arena_printf(&api->arena, "%s/{%s}", path, segment_name(api, operation, i))
               : arena_printf(&api->arena, "%s/" SLICE_FMT, path, SLICE_ARG(operation->path.segments[i].literal));
  if (operation->path.verb.data != NULL)
    path = arena_printf(&api->arena, "%s:" SLICE_FMT, path, SLICE_ARG(operation->path.verb));
  return path;
}

// Up to the first full stop that ends a sentence.
static struct slice first_sentence(const char *text)
{
  struct slice whole = slice_from_string(text);
  for (size_t i = 0; i + 1 < whole.size; i++)
    if (whole.data[i] == '.' && (whole.data[i + 1] == ' ' || whole.data[i + 1] == '\n'))
      return slice_make(text, i);
  if (whole.size > 0 && whole.data[whole.size - 1] == '.')
    whole.size--;
  return whole;
}

// ---- parameters ----

static void begin_parameter(struct openapi *api, const char *name, const char *in, bool required)
{
  jsontext_begin_object(&api->json);
  jsontext_key_string(&api->json, "name", slice_from_string(name));
  jsontext_key_string(&api->json, "in", slice_from_string(in));
  if (required)
    jsontext_key_bool(&api->json, "required", true);
}

static void end_parameter(struct openapi *api, const struct contract_field *field)
{
  struct contract_field bare = *field;
  openapi_write_description(api, field->comment);
  jsontext_key(&api->json, SLICE("schema"));
  // The parameter has the comment; readOnly is of bodies only.
  bare.comment = "";
  bare.rules.output_only = false;
  openapi_write_field_schema(api, &bare);
  jsontext_end_object(&api->json);
}

// Names come from the first operation of the shape, whose names the path has.
static void write_path_parameters(struct openapi *api, const struct operation *first, const struct operation *operation)
{
  size_t other = 0;
  for (size_t i = 0; i < first->path.segment_count;
       i = next_segment(first, i), other = next_segment(operation, other)) {
    if (!is_parameter(first, i))
      continue;
    begin_parameter(api, segment_name(api, first, i), "path", true);
    const struct contract_field *field = NULL;
    for (size_t j = 0; j < operation->path.variable_count; j++)
      if (operation->path.variables[j].first_segment == other)
        field = operation->binding->variables[j].path[operation->binding->variables[j].depth - 1];
    if (field != NULL) {
      end_parameter(api, field);
      continue;
    }
    jsontext_key(&api->json, SLICE("schema"));
    jsontext_raw(&api->json, SLICE("{\"type\":\"string\"}"));
    jsontext_end_object(&api->json);
  }
}

static bool is_path_bound(const struct contract_binding *binding, const struct contract_field *const *path,
                          size_t depth)
{
  for (size_t i = 0; i < binding->variable_count; i++)
    if (binding->variables[i].depth == depth && field_paths_equal(binding->variables[i].path, path, depth))
      return true;
  return false;
}

// One level of the request message; recursion is CONTRACT_MAX_FIELD_PATH deep.
static void write_query_parameters(struct openapi *api, const struct contract_binding *binding,
                                   const struct contract_message *message, const struct contract_field **path,
                                   size_t depth)
{
  for (size_t i = 0; i < message->field_count && depth < CONTRACT_MAX_FIELD_PATH; i++) {
    const struct contract_field *field = &message->fields[i];
    path[depth] = field;
    bool inside = field_is_message(field, CONTRACT_PLAIN) && !field->repeated;
    if (field->rules.output_only || field->is_map || field->rules.from_header != NULL ||
        (depth == 0 && field == binding->body_field) || is_path_bound(binding, path, depth + 1))
      continue;
    if (inside) {
      write_query_parameters(api, binding, field->message, path, depth + 1);
      continue;
    }
    if (field->type == CONTRACT_MESSAGE && (field->repeated || field_is_message(field, CONTRACT_EMPTY)))
      continue;
    begin_parameter(api, parameter_name(api, path, depth + 1), "query", field->rules.required);
    end_parameter(api, field);
  }
}

static void write_header_parameters(struct openapi *api, const struct contract_message *message)
{
  const struct message_index *index = message_index(message);
  for (size_t i = 0; i < index->from_header_count; i++) {
    const struct contract_field *field = index->from_header[i];
    begin_parameter(api, field->rules.from_header, "header", field->rules.required);
    end_parameter(api, field);
  }
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
  jsontext_end_array(&api->json);
}

// ---- bodies and replies ----

static void write_content(struct openapi *api, const struct contract_message *message,
                          const struct contract_field *field)
{
  jsontext_key(&api->json, SLICE("content"));
  jsontext_begin_object(&api->json);
  jsontext_key(&api->json, SLICE("application/json"));
  jsontext_begin_object(&api->json);
  jsontext_key(&api->json, SLICE("schema"));
  if (field != NULL)
    openapi_write_field_schema(api, field);
  else
    openapi_write_message_schema(api, message);
  jsontext_end_object(&api->json);
  jsontext_end_object(&api->json);
}

static void write_request_body(struct openapi *api, const struct contract_binding *binding)
{
  if (binding->body == CONTRACT_BODY_NONE)
    return;
  jsontext_key(&api->json, SLICE("requestBody"));
  jsontext_begin_object(&api->json);
  jsontext_key_bool(&api->json, "required", true);
  write_content(api, binding->method->input, binding->body_field);
  jsontext_end_object(&api->json);
}

static void write_response_headers(struct openapi *api, const struct contract_method *method)
{
  const struct message_index *index = message_index(method->output);
  if (index->to_header_count == 0 && method->location == NULL)
    return;
  jsontext_key(&api->json, SLICE("headers"));
  jsontext_begin_object(&api->json);
  for (size_t i = 0; i < index->to_header_count; i++) {
    const struct contract_field *field = index->to_header[i];
    jsontext_key(&api->json, slice_from_string(field->rules.to_header));
    jsontext_begin_object(&api->json);
    openapi_write_description(api, field->comment);
    jsontext_key(&api->json, SLICE("schema"));
    jsontext_raw(&api->json, SLICE("{\"type\":\"string\"}"));
    jsontext_end_object(&api->json);
  }
  if (method->location != NULL) {
    jsontext_key(&api->json, SLICE("Location"));
    jsontext_raw(&api->json,
                 SLICE("{\"description\":\"Where to find what was created.\",\"schema\":{\"type\":\"string\","
                       "\"format\":\"uri-reference\"}}"));
  }
  jsontext_end_object(&api->json);
}

static void write_responses(struct openapi *api, const struct contract_binding *binding)
{
  const struct contract_method *method = binding->method;
  jsontext_key(&api->json, SLICE("responses"));
  jsontext_begin_object(&api->json);
  jsontext_key(&api->json, slice_from_string(arena_printf(&api->arena, "%d", method->success_status)));
  jsontext_begin_object(&api->json);
  jsontext_key_string(&api->json, "description",
                      slice_from_string(*method->output->comment == '\0' ? "Success." : method->output->comment));
  write_response_headers(api, method);
  if (method->success_status != 204)
    write_content(api, method->output, binding->response_body_field);
  jsontext_end_object(&api->json);
  jsontext_key(&api->json, SLICE("default"));
  jsontext_raw(&api->json, SLICE("{\"$ref\":\"#/components/responses/Problem\"}"));
  jsontext_end_object(&api->json);
}

// ---- operations ----

// One requirement a role: any of them is enough.
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
    jsontext_end_array(&api->json);
    jsontext_end_object(&api->json);
  }
  jsontext_end_array(&api->json);
}

static const char *operation_id(struct openapi *api, const struct operation *operation)
{
  const struct contract_method *method = operation->binding->method;
  const char *dot = strrchr(method->service_full_name, '.');
  const char *service = dot == NULL ? method->service_full_name : dot + 1;
  if (operation->ordinal == 1)
    return arena_printf(&api->arena, "%s_%s", service, method->name);
  return arena_printf(&api->arena, "%s_%s_%u", service, method->name, operation->ordinal);
}

static void write_operation(struct openapi *api, const struct operation *first, const struct operation *operation)
{
  const struct contract_binding *binding = operation->binding;
  const struct contract_method *method = binding->method;
  char verb[16] = "";
  for (size_t i = 0; i < sizeof(verb) - 1 && binding->http_method[i] != '\0'; i++)
    verb[i] = (char)(binding->http_method[i] | 0x20);
  jsontext_key(&api->json, slice_from_string(verb));
  jsontext_begin_object(&api->json);
  jsontext_key_string(&api->json, "operationId", slice_from_string(operation_id(api, operation)));
  if (*method->comment != '\0')
    jsontext_key_string(&api->json, "summary", first_sentence(method->comment));
  openapi_write_description(api, method->comment);
  jsontext_key(&api->json, SLICE("tags"));
  jsontext_begin_array(&api->json);
  jsontext_string(&api->json, slice_from_string(method->service_full_name));
  jsontext_end_array(&api->json);
  write_parameters(api, first, operation);
  write_request_body(api, binding);
  write_responses(api, binding);
  write_security(api, method);
  jsontext_end_object(&api->json);
}

// Whether an operation before this one has opened the path.
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
    jsontext_key(&api->json, slice_from_string(render_path(api, &operations[i])));
    jsontext_begin_object(&api->json);
    for (size_t j = i; j < count; j++)
      if (slice_equal(operations[j].shape, operations[i].shape))
        write_operation(api, &operations[i], &operations[j]);
    jsontext_end_object(&api->json);
  }
  jsontext_end_object(&api->json);
}
