// google.api.http rules as bindings: which HTTP method and path, which field of the request is filled from where.
#include "common/contract/builder_internal.h"
#include "common/contract/path_template.h"

#define MAX_CUSTOM_METHOD_BYTES 16

struct pattern {
  const char *http_method;
  const char *path;
};

static enum status refuse(struct contract_builder *builder, const struct contract_binding *binding, const char *subject,
                          const char *sentence)
{
  return error_set(builder->error, STATUS_INVALID_ARGUMENT, "method " SLICE_FMT ": %s %s: %s%s",
                   SLICE_ARG(binding->method->full_name), binding->http_method, binding->path, subject, sentence);
}

static struct pattern rule_pattern(const Google__Api__HttpRule *rule)
{
  switch (rule->pattern_case) {
  case GOOGLE__API__HTTP_RULE__PATTERN_GET:
    return (struct pattern){"GET", rule->get};
  case GOOGLE__API__HTTP_RULE__PATTERN_PUT:
    return (struct pattern){"PUT", rule->put};
  case GOOGLE__API__HTTP_RULE__PATTERN_POST:
    return (struct pattern){"POST", rule->post};
  case GOOGLE__API__HTTP_RULE__PATTERN_DELETE:
    return (struct pattern){"DELETE", rule->delete_};
  case GOOGLE__API__HTTP_RULE__PATTERN_PATCH:
    return (struct pattern){"PATCH", rule->patch};
  case GOOGLE__API__HTTP_RULE__PATTERN_CUSTOM:
    return (struct pattern){rule->custom->kind, rule->custom->path};
  default:
    return (struct pattern){NULL, NULL};
  }
}

static bool is_http_method(const char *method)
{
  size_t size = strlen(method);
  for (size_t i = 0; i < size; i++)
    if (method[i] < 'A' || method[i] > 'Z')
      return false;
  return size > 0 && size <= MAX_CUSTOM_METHOD_BYTES && strcmp(method, "HEAD") != 0;
}

static enum status build_variable(struct contract_builder *builder, const struct contract_binding *binding,
                                  const struct template_variable *source, struct contract_path_variable *variable)
{
  variable->multi_segment = source->multi_segment;
  variable->depth = contract_field_path(binding->method->input, source->field, variable->path);
  if (variable->depth == 0)
    return refuse(builder, binding, "", "a path variable names no field of the request");
  const struct contract_field *field = variable->path[variable->depth - 1];
  if (field->repeated || field->type == CONTRACT_MESSAGE)
    return refuse(builder, binding, "", "a path variable must be a single scalar field");
  for (const struct contract_path_variable *other = binding->variables; other < variable; other++)
    if (other->depth == variable->depth && field_paths_equal(other->path, variable->path, variable->depth))
      return refuse(builder, binding, "", "two path variables name the same field");
  return STATUS_OK;
}

static enum status build_variables(struct contract_builder *builder, struct contract_binding *binding)
{
  struct path_template parsed;
  const char *problem = path_template_parse(slice_from_string(binding->path), &parsed);
  if (problem != NULL)
    return refuse(builder, binding, "the path: ", problem);
  struct contract_path_variable *variables =
      arena_zalloc(&builder->contract->arena, parsed.variable_count * sizeof(*variables));
  binding->variables = variables;
  for (size_t i = 0; i < parsed.variable_count; i++) {
    enum status status = build_variable(builder, binding, &parsed.variables[i], &variables[i]);
    if (status != STATUS_OK)
      return status;
  }
  binding->variable_count = parsed.variable_count;
  return STATUS_OK;
}

static enum status build_bodies(struct contract_builder *builder, const Google__Api__HttpRule *rule,
                                struct contract_binding *binding)
{
  const struct contract_method *method = binding->method;
  const char *body = rule->body == NULL ? "" : rule->body;
  const char *response = rule->response_body == NULL ? "" : rule->response_body;
  if (*body != '\0' && strcmp(binding->http_method, "GET") == 0)
    return refuse(builder, binding, "", "GET has no body");
  if (strcmp(body, "*") == 0) {
    binding->body = CONTRACT_BODY_ALL;
  } else if (*body != '\0') {
    binding->body = CONTRACT_BODY_FIELD;
    binding->body_field = contract_field_by_name(method->input, slice_from_string(body));
    if (binding->body_field == NULL)
      return refuse(builder, binding, "", "body names no field of the request");
  }
  // Otherwise the body could say something else than the path or header that a proxy has looked at.
  for (size_t i = 0; i < binding->variable_count && binding->body_field != NULL; i++)
    if (binding->variables[i].depth == 1 && binding->variables[i].path[0] == binding->body_field)
      return refuse(builder, binding, "", "the body names a field that the path fills");
  if (binding->body_field != NULL && binding->body_field->rules.from_header != NULL)
    return refuse(builder, binding, "", "the body names a field that a header fills");
  if (binding->body != CONTRACT_BODY_NONE && method->input->well_known != CONTRACT_PLAIN)
    return refuse(builder, binding, "", "the request is a well-known type, which cannot be a body");
  if (*response == '\0')
    return STATUS_OK;
  binding->response_body_field = contract_field_by_name(method->output, slice_from_string(response));
  if (binding->response_body_field == NULL || method->output->well_known != CONTRACT_PLAIN)
    return refuse(builder, binding, "", "response_body names no field of the response");
  return STATUS_OK;
}

static enum status build_binding(struct contract_builder *builder, const struct contract_method *method,
                                 const Google__Api__HttpRule *rule)
{
  struct pattern pattern = rule_pattern(rule);
  struct contract *contract = builder->contract;
  struct contract_binding *binding = &contract->bindings[contract->binding_count];
  *binding = (struct contract_binding){.method = method, .http_method = "", .path = ""};
  if (pattern.http_method == NULL || pattern.path == NULL)
    return refuse(builder, binding, "", "an HTTP rule has no pattern");
  if (!is_http_method(pattern.http_method))
    return refuse(builder, binding, "", "a custom kind must be up to 16 capital letters, and not HEAD");
  binding->http_method = arena_string(&contract->arena, slice_from_string(pattern.http_method));
  binding->path = arena_string(&contract->arena, slice_from_string(pattern.path));
  contract->binding_count++;
  enum status status = build_variables(builder, binding);
  return status != STATUS_OK ? status : build_bodies(builder, rule, binding);
}

enum status build_bindings(struct contract_builder *builder, const struct contract_method *method,
                           const Google__Api__HttpRule *rule)
{
  enum status status = build_binding(builder, method, rule);
  for (size_t i = 0; i < rule->n_additional_bindings && status == STATUS_OK; i++)
    status = build_binding(builder, method, rule->additional_bindings[i]);
  return status;
}
