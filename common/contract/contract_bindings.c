// google.api.http rules as bindings: which HTTP method and path, which field of the request is filled from where.
#include "common/contract/builder_internal.h"
#include "common/contract/path_template.h"

#define MAX_CUSTOM_METHOD_BYTES 32

struct pattern {
  const char *http_method;
  const char *path;
};

// A google.api.http rule, and the binding that is being built from it.
struct rule_place {
  struct contract_builder *builder;
  const struct declaration *option;
  const Google__Api__HttpRule *rule;
  struct contract_binding *binding;
};

static void refuse(const struct rule_place *place, const char *format, ...) PRINTF_LIKE(2, 3);
static void refuse(const struct rule_place *place, const char *format, ...)
{
  va_list args;
  va_start(args, format);
  const char *sentence = arena_vprintf(&place->builder->scratch, format, args);
  va_end(args);
  report(place->builder, place->option, "%s %s: %s", place->binding->http_method, place->binding->path, sentence);
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

// Whether the gateway can route requests of this HTTP method. HEAD is answered wherever GET is, and nginx lets neither
// CONNECT nor TRACE in.
static bool is_http_method(const char *method)
{
  static const char *const OTHERS[] = {"HEAD", "CONNECT", "TRACE"};
  if (strcmp(method, "*") == 0)
    return true;
  for (size_t i = 0; i < ARRAY_LEN(OTHERS); i++)
    if (strcmp(method, OTHERS[i]) == 0)
      return false;
  size_t size = strlen(method);
  for (size_t i = 0; i < size; i++)
    if ((method[i] < 'A' || method[i] > 'Z') && (method[i] != '-' || i == 0))
      return false;
  return size > 0 && size <= MAX_CUSTOM_METHOD_BYTES;
}

// ---- path variables ----

static const char *find_variable_problem(const struct contract_binding *binding,
                                         const struct contract_path_variable *variable)
{
  if (variable->depth == 0)
    return "is not a field of the request";
  const struct contract_field *field = variable->path[variable->depth - 1];
  if (field->repeated || field->type == CONTRACT_MESSAGE)
    return "is a list or a message";
  for (const struct contract_path_variable *other = binding->variables; other < variable; other++)
    if (other->depth == variable->depth && field_paths_equal(other->path, variable->path, variable->depth))
      return "is there twice";
  return NULL;
}

// Fills in the variables of the path. Returns false when the path cannot be used, which has been reported.
static bool build_variables(const struct rule_place *place)
{
  struct contract_binding *binding = place->binding;
  const struct contract_message *input = binding->method->input;
  struct path_template parsed;
  const char *problem = path_template_parse(slice_from_string(binding->path), &parsed);
  if (problem != NULL) {
    refuse(place, "the path is not a template: %s; write one such as /v1/items/{id}", problem);
    return false;
  }
  struct contract_path_variable *variables =
      arena_zalloc(&place->builder->contract->arena, parsed.variable_count * sizeof(*variables));
  binding->variables = variables;
  for (size_t i = 0; i < parsed.variable_count && input != NULL; i++) {
    variables[i].multi_segment = parsed.variables[i].multi_segment;
    variables[i].depth = contract_field_path(input, parsed.variables[i].field, variables[i].path);
    problem = find_variable_problem(binding, &variables[i]);
    if (problem != NULL)
      refuse(place, "the path variable {" SLICE_FMT "} %s; name single scalar fields of %s, each once",
             SLICE_ARG(parsed.variables[i].field), problem, input->full_name);
    binding->variable_count++;
  }
  return true;
}

// ---- bodies ----

static void check_body_field(const struct rule_place *place)
{
  const struct contract_binding *binding = place->binding;
  const struct contract_field *field = binding->body_field;
  // A field must not be filled from both body and path or header: the body could contradict what a proxy has checked.
  for (size_t i = 0; i < binding->variable_count; i++)
    if (binding->variables[i].depth == 1 && binding->variables[i].path[0] == field)
      refuse(place, "body \"%s\" names a field that the path fills; leave one of them out", place->rule->body);
  if (field->rules.from_header != NULL)
    refuse(place, "body \"%s\" names a field that a header fills; leave one of them out", place->rule->body);
  // The mask of a PATCH is filled from its body, and its paths start in the message that is updated, so the body must
  // be that field.
  const struct contract_field *updated = binding->method->input->updated;
  if (strcmp(binding->http_method, "PATCH") == 0 && updated != NULL && updated != field)
    refuse(place,
           "update_mask is about the field \"" SLICE_FMT "\" and body names \"%s\"; let the body be \"" SLICE_FMT
           "\", or declare the updated message before all others",
           SLICE_ARG(updated->name), place->rule->body, SLICE_ARG(updated->name));
}

// Checks the body of a request whose message has a JSON form of its own: it comes as a whole.
static void check_well_known_body(const struct rule_place *place, const char *body)
{
  const struct contract_binding *binding = place->binding;
  const struct contract_message *input = binding->method->input;
  if (strcmp(body, "*") != 0)
    refuse(place, "body \"%s\" names a part of %s, whose JSON comes as a whole; write body: \"*\"", body,
           input->full_name);
  else if (input->well_known != CONTRACT_EMPTY && binding->variable_count > 0)
    refuse(place, "the path fills a field of %s, whose JSON comes as a whole in the body; write a path without {}",
           input->full_name);
}

static void build_body(const struct rule_place *place)
{
  struct contract_binding *binding = place->binding;
  const struct contract_message *input = binding->method->input;
  const char *body = place->rule->body == NULL ? "" : place->rule->body;
  if (*body == '\0')
    return;
  if (strcmp(binding->http_method, "GET") == 0)
    refuse(place, "GET has no body; leave body out, and the fields become query parameters");
  if (input == NULL)
    return;
  if (input->well_known != CONTRACT_PLAIN)
    check_well_known_body(place, body);
  if (strcmp(body, "*") == 0) {
    binding->body = CONTRACT_BODY_ALL;
    return;
  }
  binding->body = CONTRACT_BODY_FIELD;
  binding->body_field = contract_field_by_name(input, slice_from_string(body));
  if (binding->body_field == NULL)
    refuse(place, "body \"%s\" is not a field of the request; write one of %s or \"*\"", body, input->full_name);
  else
    check_body_field(place);
}

// Refuses what a route of a method with stream cannot have.
static void check_stream(const struct rule_place *place)
{
  const struct contract_binding *binding = place->binding;
  const struct contract_method *method = binding->method;
  if (method->client_streams && method->server_streams)
    refuse(place, "a method with streams both ways has a route, but HTTP has no form for it; leave google.api.http "
                  "out: clients call it by gRPC");
  else if (method->client_streams && binding->body != CONTRACT_BODY_ALL)
    refuse(place, "each line of the body is a message of the client's stream; write body: \"*\"");
  else if (method->client_streams && binding->variable_count > 0)
    refuse(place, "the path fills a field, but a stream has many messages, each of them a line of the body; write a "
                  "path without {}");
  if (method->server_streams && binding->response_body_field != NULL)
    refuse(place, "response_body \"%s\" is set on a stream of responses, whose messages are sent whole; leave it out",
           place->rule->response_body);
}

bool contract_needs_body(const struct contract_binding *binding)
{
  if (binding->body == CONTRACT_BODY_NONE)
    return false;
  if (binding->body == CONTRACT_BODY_ALL && !message_is_object(binding->method->input))
    return true;
  return strcmp(binding->http_method, "PUT") == 0 || strcmp(binding->http_method, "PATCH") == 0 ||
         (binding->body_field != NULL && binding->body_field->absence != NULL);
}

static void check_patch(const struct rule_place *place)
{
  const struct contract_binding *binding = place->binding;
  const char *problem = binding->method->input == NULL ? NULL : find_patch_problem(place->builder, binding);
  if (problem != NULL)
    refuse(place, "%s", problem);
}

static void build_response_body(const struct rule_place *place)
{
  struct contract_binding *binding = place->binding;
  const struct contract_message *output = binding->method->output;
  const char *name = place->rule->response_body == NULL ? "" : place->rule->response_body;
  if (*name == '\0' || output == NULL)
    return;
  const struct contract_field *field =
      output->well_known == CONTRACT_PLAIN ? contract_field_by_name(output, slice_from_string(name)) : NULL;
  binding->response_body_field = field;
  if (field == NULL)
    refuse(place, "response_body \"%s\" is not a field of the response; write one of %s", name, output->full_name);
  else if (field->rules.secret)
    refuse(place, "response_body \"%s\" is a secret, which replies leave out; name another field", name);
}

static void build_binding(struct contract_builder *builder, const struct declaration *option,
                          const struct contract_method *method, const Google__Api__HttpRule *rule)
{
  struct pattern pattern = rule_pattern(rule);
  struct contract *contract = builder->contract;
  if (pattern.http_method == NULL || pattern.path == NULL) {
    report(builder, option, "an HTTP rule has no pattern; write get, put, post, delete, patch or custom with a path");
    return;
  }
  if (!is_http_method(pattern.http_method)) {
    report(builder, option,
           "the custom kind \"%s\" is not accepted; write up to %d capital letters and hyphens, but not HEAD, CONNECT "
           "or TRACE, or write \"*\" for any method",
           pattern.http_method, MAX_CUSTOM_METHOD_BYTES);
    return;
  }
  struct contract_binding *binding = &contract->bindings[contract->binding_count];
  *binding = (struct contract_binding){
      .method = method,
      .http_method = keep_text(builder, pattern.http_method),
      .path = keep_text(builder, pattern.path),
      .place = declaration_place(option),
  };
  const struct rule_place place = {.builder = builder, .option = option, .rule = rule, .binding = binding};
  if (!build_variables(&place))
    return;
  contract->binding_count++;
  build_body(&place);
  check_patch(&place);
  build_response_body(&place);
  check_stream(&place);
}

void build_bindings(struct contract_builder *builder, const struct declaration *option, struct contract_method *method,
                    const Google__Api__HttpRule *rule)
{
  size_t before = builder->contract->binding_count;
  build_binding(builder, option, method, rule);
  for (size_t i = 0; i < rule->n_additional_bindings; i++)
    build_binding(builder, option, method, rule->additional_bindings[i]);
  method->bindings = &builder->contract->bindings[before];
  method->binding_count = builder->contract->binding_count - before;
}
