// Builds services and their methods: policy, limits, success. contract_bindings.c builds the bindings from the HTTP
// rules.
#include <inttypes.h>
#include <strings.h>

#include "common/base/check.h"
#include "common/contract/builder_internal.h"
#include "common/contract/descriptor_fields.h"

#define DEFAULT_TIMEOUT_MS 5000u
#define MAX_TIMEOUT_MS 600000u
#define MAX_STREAM_TIMEOUT_MS 86400000u
#define MAX_ROLE_BYTES 32
// What stands in nginx.conf.in as client_max_body_size.
#define MAX_BODY_BYTES (4u * 1024 * 1024)
#define DEFAULT_BODY_BYTES (512u * 1024)
#define DEFAULT_PUBLIC_BODY_BYTES (8u * 1024)

typedef Google__Protobuf__MethodDescriptorProto MethodProto;

// ---- policy ----

static bool is_role(const char *role)
{
  size_t size = strlen(role);
  if (size == 0 || size > MAX_ROLE_BYTES || role[0] < 'a' || role[0] > 'z')
    return false;
  for (size_t i = 0; i < size; i++)
    if (!(role[i] >= 'a' && role[i] <= 'z') && !(role[i] >= '0' && role[i] <= '9') && role[i] != '_' && role[i] != '-')
      return false;
  return true;
}

static void build_roles(struct contract_builder *builder, const struct declaration *option,
                        const Bulkhead__V1__MethodPolicy *policy, struct contract_method *method)
{
  bool by_role = method->policy.access == ACCESS_ROLE;
  if (by_role && policy->n_roles == 0)
    report(builder, option, "ACCESS_ROLE names no roles; add roles: \"...\" once for each role that may call");
  if (!by_role && policy->n_roles > 0)
    report(builder, option, "roles have no effect with this access; write access: ACCESS_ROLE, or leave them out");
  const char **roles = arena_array(&builder->contract->arena, policy->n_roles, sizeof(*roles));
  for (size_t i = 0; i < policy->n_roles; i++) {
    if (!is_role(policy->roles[i]))
      report(builder, option,
             "the role \"%s\" is not accepted; write a lower-case letter and up to %d of a-z, 0-9, _ and -",
             policy->roles[i], MAX_ROLE_BYTES - 1);
    roles[i] = keep_text(builder, policy->roles[i]);
  }
  method->policy.roles = roles;
  method->policy.role_count = policy->n_roles;
}

static bool is_caller(const char *caller)
{
  return strcmp(caller, POLICY_ANY_SERVICE) == 0 || (is_role(caller) && strpbrk(caller, "_-") == NULL);
}

static void build_callers(struct contract_builder *builder, const struct declaration *option,
                          const Bulkhead__V1__MethodPolicy *policy, struct contract_method *method)
{
  if (method->policy.access == ACCESS_INTERNAL && policy->n_callers == 0)
    report(builder, option,
           "ACCESS_INTERNAL names no callers; add callers: \"...\" once for each service that may call");
  const char **callers = arena_array(&builder->contract->arena, policy->n_callers, sizeof(*callers));
  for (size_t i = 0; i < policy->n_callers; i++) {
    if (!is_caller(policy->callers[i]))
      report(builder, option,
             "the caller \"%s\" is not accepted; write a service's name (a lower-case letter and up to %d of a-z and "
             "0-9), \"gateway\", or \"*\" for every service",
             policy->callers[i], MAX_ROLE_BYTES - 1);
    callers[i] = keep_text(builder, policy->callers[i]);
  }
  method->policy.callers = callers;
  method->policy.caller_count = policy->n_callers;
}

// Returns what is wrong with the field of the response that a location names; NULL when it can stand there.
static const char *find_location_problem(const struct contract_field *field)
{
  if (field == NULL)
    return "is not a field of the response";
  if (field->type != CONTRACT_STRING || field->repeated)
    return "is not a single string";
  return field->rules.secret ? "is a secret" : NULL;
}

// Reports each {name} of a location template that is not a text field of the response.
static void check_location(struct contract_builder *builder, const struct declaration *option,
                           const struct contract_method *method)
{
  struct slice location = slice_from_string(method->location);
  if (location.data[0] != '/')
    report(builder, option, "location \"%s\" does not begin with /; write a path such as \"/v1/items/{id}\"",
           method->location);
  for (size_t at = slice_find(location, '{', 0); at < location.size; at = slice_find(location, '{', at)) {
    size_t end = slice_find(location, '}', at);
    if (end == location.size) {
      report(builder, option, "location \"%s\" has a { without its }; write a path such as \"/v1/items/{id}\"",
             method->location);
      return;
    }
    struct slice name = slice_make(location.data + at + 1, end - at - 1);
    const char *problem = find_location_problem(contract_field_by_name(method->output, name));
    if (problem != NULL)
      report(builder, option, "location names {" SLICE_FMT "}, which %s; name a string field of %s", SLICE_ARG(name),
             problem, method->output->full_name);
    at = end;
  }
}

static void build_success(struct contract_builder *builder, const struct declaration *option,
                          const Bulkhead__V1__MethodPolicy *policy, struct contract_method *method)
{
  bool is_empty = method->output != NULL && method->output->well_known == CONTRACT_EMPTY;
  bool has_location = policy->location != NULL && *policy->location != '\0';
  if (policy->success_status != 0 && (policy->success_status < 200 || policy->success_status > 299))
    report(builder, option, "success_status %" PRIu32 " is not one of success; write 200 to 299",
           policy->success_status);
  method->success_status = policy->success_status != 0 ? (int)policy->success_status : is_empty ? 204 : 200;
  if (!has_location)
    return;
  method->location = keep_text(builder, policy->location);
  if (method->output != NULL)
    check_location(builder, option, method);
}

// Sets how large a body may be. Who has shown nothing yet gets little of the gateway's memory.
static void build_body_limit(struct contract_builder *builder, const struct declaration *option,
                             const Bulkhead__V1__MethodPolicy *policy, struct contract_method *method)
{
  if (policy->max_body_bytes > MAX_BODY_BYTES)
    report(builder, option, "max_body_bytes %" PRIu32 " is too many; write at most %u", policy->max_body_bytes,
           MAX_BODY_BYTES);
  bool is_small = method->policy.access == ACCESS_PUBLIC || method->rate_class == CONTRACT_RATE_CREDENTIAL;
  method->max_body_bytes = policy->max_body_bytes != 0 ? policy->max_body_bytes
                           : is_small                  ? DEFAULT_PUBLIC_BODY_BYTES
                                                       : DEFAULT_BODY_BYTES;
}

static void build_auth_age(struct contract_builder *builder, const struct declaration *option,
                           const Bulkhead__V1__MethodPolicy *policy, struct contract_method *method)
{
  bool has_user = method->policy.access == ACCESS_AUTHENTICATED || method->policy.access == ACCESS_ROLE;
  if (policy->max_auth_age_s != 0 && !has_user)
    report(builder, option,
           "max_auth_age_s has no effect with this access, because the method needs no user; write access: "
           "ACCESS_AUTHENTICATED or ACCESS_ROLE, or leave it out");
  method->policy.max_auth_age_s = policy->max_auth_age_s;
}

static void build_policy(struct contract_builder *builder, const struct declaration *declaration,
                         const Bulkhead__V1__MethodPolicy *policy, struct contract_method *method)
{
  struct declaration option = declaration_of_policy(declaration);
  if (policy == NULL || policy->access == BULKHEAD__V1__ACCESS__ACCESS_UNSPECIFIED) {
    report(builder, declaration,
           "the method has no access policy; say who may call it: option (bulkhead.v1.method) = {access: ACCESS_...}");
    return;
  }
  if ((unsigned)policy->access > ACCESS_INTERNAL)
    report(builder, &option, "access %d is unknown; write one of options.proto's Access", (int)policy->access);
  if ((unsigned)policy->rate_class > CONTRACT_RATE_CREDENTIAL)
    report(builder, &option, "rate_class %d is unknown; write one of options.proto's RateClass",
           (int)policy->rate_class);
  uint32_t most_ms = method->client_streams || method->server_streams ? MAX_STREAM_TIMEOUT_MS : MAX_TIMEOUT_MS;
  if (policy->timeout_ms > most_ms)
    report(builder, &option, "timeout_ms %" PRIu32 " is too long; write at most %u", policy->timeout_ms, most_ms);
  if (policy->cache_ttl_ms != 0 && !method->no_side_effects)
    report(builder, &option,
           "cache_ttl_ms is set on a method that may change something; add option idempotency_level = "
           "NO_SIDE_EFFECTS, or leave it out");
  method->policy.access = (enum access)policy->access;
  method->rate_class = (enum contract_rate_class)policy->rate_class;
  method->timeout_ms = policy->timeout_ms == 0 ? DEFAULT_TIMEOUT_MS : policy->timeout_ms;
  method->cache_ttl_ms = policy->cache_ttl_ms;
  build_body_limit(builder, &option, policy, method);
  build_roles(builder, &option, policy, method);
  build_callers(builder, &option, policy, method);
  build_auth_age(builder, &option, policy, method);
  build_errors(builder, &option, policy, method);
  build_permission(builder, &option, policy, method);
  build_success(builder, &option, policy, method);
}

// ---- methods ----

typedef Google__Protobuf__MethodOptions__IdempotencyLevel IdempotencyLevel;

static IdempotencyLevel get_idempotency_level(const Google__Protobuf__MethodOptions *options)
{
  return options == NULL || !options->has_idempotency_level
             ? GOOGLE__PROTOBUF__METHOD_OPTIONS__IDEMPOTENCY_LEVEL__IDEMPOTENCY_UNKNOWN
             : options->idempotency_level;
}

static bool takes_post(const Google__Api__HttpRule *rule)
{
  if (rule->pattern_case != GOOGLE__API__HTTP_RULE__PATTERN_CUSTOM)
    return rule->pattern_case == GOOGLE__API__HTTP_RULE__PATTERN_POST;
  const char *kind = rule->custom->kind;
  return kind != NULL && (strcmp(kind, "POST") == 0 || strcmp(kind, "*") == 0);
}

static bool has_post(const Google__Api__HttpRule *rule)
{
  if (rule == NULL || takes_post(rule))
    return rule != NULL;
  for (size_t i = 0; i < rule->n_additional_bindings; i++)
    if (takes_post(rule->additional_bindings[i]))
      return true;
  return false;
}

// Finds out whether the method takes an Idempotency-Key. An idempotent method needs none, and one that cannot be called
// by POST is idempotent by the meaning of its HTTP method.
static void build_idempotency(struct contract_builder *builder, const struct declaration *declaration,
                              const Bulkhead__V1__MethodPolicy *policy, const Google__Api__HttpRule *rule,
                              IdempotencyLevel level, struct contract_method *method)
{
  struct declaration option = declaration_of_policy(declaration);
  method->takes_idempotency_key = !method->client_streams && !method->server_streams &&
                                  level == GOOGLE__PROTOBUF__METHOD_OPTIONS__IDEMPOTENCY_LEVEL__IDEMPOTENCY_UNKNOWN &&
                                  has_post(rule);
  method->secret_reply = policy != NULL && policy->secret_reply;
  if (method->secret_reply && !method->takes_idempotency_key)
    report(builder, &option,
           "secret_reply has no effect on a method that takes no Idempotency-Key: one without a POST route, or with an "
           "idempotency_level; leave it out");
}

static void name_method(struct contract_builder *builder, const struct contract_service *service,
                        const MethodProto *source, struct contract_method *method)
{
  struct arena *arena = &builder->contract->arena;
  method->service = service->service;
  method->service_full_name = service->full_name;
  method->name = keep_text(builder, source->name);
  method->full_name = slice_from_string(arena_printf(arena, "%s/%s", service->full_name, method->name));
}

static void build_http(struct contract_builder *builder, const struct declaration *declaration,
                       const Bulkhead__V1__MethodPolicy *policy, const Google__Api__HttpRule *rule,
                       struct contract_method *method)
{
  struct declaration option = declaration_of_policy(declaration);
  if (rule == NULL && policy != NULL && (policy->success_status != 0 || method->location != NULL))
    report(builder, &option,
           "success_status and location have no effect without a route; add option (google.api.http), or leave them "
           "out");
  if (rule == NULL)
    return;
  struct declaration http = declaration_of_http(declaration);
  if (method->policy.access == ACCESS_INTERNAL)
    report(builder, &http,
           "a method with ACCESS_INTERNAL has a route; leave google.api.http out, or open it with another access");
  build_bindings(builder, &http, method, rule);
}

static bool has_header(const struct contract_message *message, const char *name)
{
  for (size_t i = 0; message != NULL && i < message->field_count; i++) {
    const char *header = message->fields[i].rules.from_header;
    if (header != NULL && strcasecmp(header, name) == 0)
      return true;
  }
  return false;
}

static void build_resuming(struct contract_builder *builder, const struct declaration *option,
                           const Bulkhead__V1__MethodPolicy *policy, struct contract_method *method)
{
  if (policy == NULL || policy->resume_field == NULL || *policy->resume_field == '\0' || method->output == NULL)
    return;
  const struct contract_field *field = contract_field_by_name(method->output, slice_from_string(policy->resume_field));
  method->resume_field = field;
  if (!method->server_streams)
    report(builder, option, "resume_field has no effect on a method without a stream of responses; leave it out");
  else if (field == NULL || field->type != CONTRACT_STRING || field->repeated || field->rules.secret)
    report(builder, option, "resume_field \"%s\" is not a string of the response; name a string field of %s",
           policy->resume_field, method->output->full_name);
  else if (!has_header(method->input, "Last-Event-ID"))
    report(builder, option,
           "resume_field has no effect, because the request does not take it back; give a string of %s the option "
           "from_header: \"Last-Event-ID\"",
           method->input == NULL ? "the request" : method->input->full_name);
}

static void build_stream(struct contract_builder *builder, const struct declaration *declaration,
                         const Bulkhead__V1__MethodPolicy *policy, struct contract_method *method)
{
  struct declaration option = declaration_of_policy(declaration);
  bool streams = method->client_streams || method->server_streams;
  uint32_t limit_ms = policy == NULL ? 0 : policy->message_timeout_ms;
  if (method->server_streams && policy != NULL && (policy->success_status != 0 || method->location != NULL))
    report(
        builder, &option,
        "success_status and location have no effect on a stream of responses, which begins before it has ended well; "
        "leave them out");
  if (streams && method->rate_class == CONTRACT_RATE_CREDENTIAL)
    report(builder, &option, "RATE_CLASS_CREDENTIAL does not count streams; choose another rate_class");
  build_resuming(builder, &option, policy, method);
  if (streams && method->cache_ttl_ms != 0)
    report(builder, &option, "cache_ttl_ms has no effect on a method with stream; leave it out");
  if (!streams && limit_ms != 0)
    report(builder, &option, "message_timeout_ms has no effect on a method without stream; leave it out");
  if (limit_ms > method->timeout_ms)
    report(builder, &option,
           "message_timeout_ms %" PRIu32 " has no effect, because the whole call may take %" PRIu32
           " ms only; write less, or a longer timeout_ms",
           limit_ms, method->timeout_ms);
  method->message_timeout_ms = limit_ms;
}

static void build_hedging(struct contract_builder *builder, const struct declaration *declaration,
                          const Bulkhead__V1__MethodPolicy *policy, struct contract_method *method)
{
  struct declaration option = declaration_of_policy(declaration);
  uint32_t after_ms = policy == NULL ? 0 : policy->hedge_after_ms;
  if (after_ms != 0 && !method->no_side_effects)
    report(builder, &option,
           "hedge_after_ms is set on a method that may change something, and would be carried out twice; add option "
           "idempotency_level = NO_SIDE_EFFECTS, or leave it out");
  if (after_ms != 0 && (method->client_streams || method->server_streams))
    report(builder, &option, "hedge_after_ms has no effect on a method with stream; leave it out");
  if (after_ms >= method->timeout_ms && after_ms != 0)
    report(builder, &option,
           "hedge_after_ms %" PRIu32 " has no effect, because the whole call may take %" PRIu32
           " ms only; write less, or a longer timeout_ms",
           after_ms, method->timeout_ms);
  method->hedge_after_ms = after_ms;
}

static void build_method(struct contract_builder *builder, const struct declaration *declaration,
                         const MethodProto *source, struct contract_method *method)
{
  method->comment = declaration_comment(builder, declaration);
  method->place = declaration_place(declaration);
  IdempotencyLevel level = get_idempotency_level(source->options);
  method->no_side_effects = level == GOOGLE__PROTOBUF__METHOD_OPTIONS__IDEMPOTENCY_LEVEL__NO_SIDE_EFFECTS;
  method->client_streams = source->has_client_streaming && source->client_streaming;
  method->server_streams = source->has_server_streaming && source->server_streaming;
  method->input = build_message(builder, declaration, source->input_type);
  method->output = build_message(builder, declaration, source->output_type);
  const Bulkhead__V1__MethodPolicy *policy = options_method_policy(builder, declaration, source->options);
  const Google__Api__HttpRule *rule = options_http_rule(builder, declaration, source->options);
  check_update(builder, method, rule);
  build_policy(builder, declaration, policy, method);
  build_idempotency(builder, declaration, policy, rule, level, method);
  build_stream(builder, declaration, policy, method);
  build_hedging(builder, declaration, policy, method);
  build_http(builder, declaration, policy, rule, method);
}

// ---- services ----

static size_t count_bindings(struct contract_builder *builder, const struct declaration *owner,
                             const Google__Protobuf__ServiceDescriptorProto *service)
{
  size_t count = 0;
  // Options that cannot be read are not reported here, because build_method reports them.
  struct diagnostics *diagnostics = builder->diagnostics;
  struct diagnostics ignored;
  diagnostics_init(&ignored);
  builder->diagnostics = &ignored;
  for (size_t i = 0; i < service->n_method; i++) {
    const Google__Api__HttpRule *rule = options_http_rule(builder, owner, service->method[i]->options);
    count += rule == NULL ? 0 : 1 + rule->n_additional_bindings;
  }
  builder->diagnostics = diagnostics;
  diagnostics_free(&ignored);
  return count;
}

static void build_service(struct contract_builder *builder, const struct source_file *source, size_t position)
{
  const Google__Protobuf__ServiceDescriptorProto *descriptor = source->descriptor->service[position];
  struct contract *contract = builder->contract;
  struct declaration root = declaration_of_file(source);
  struct contract_service *service = &contract->services[contract->service_count++];
  struct slice package = slice_from_string(source->file->package);
  *service = (struct contract_service){
      .full_name = arena_printf(&contract->arena, "%s.%s", source->file->package, descriptor->name),
      .name = keep_text(builder, descriptor->name),
      .service = arena_string(&contract->arena, slice_make(package.data, slice_find(package, '.', 0))),
      .file = source->file,
      .methods = &contract->methods[contract->method_count],
      .method_count = descriptor->n_method,
  };
  struct declaration declaration = declaration_child(&root, FILE_SERVICE, position, service->full_name);
  for (size_t i = 0; i < descriptor->n_method; i++) {
    const MethodProto *method_source = descriptor->method[i];
    struct contract_method *method = &contract->methods[contract->method_count];
    method->index = contract->method_count++;
    name_method(builder, service, method_source, method);
    build_service_info(builder, &declaration, descriptor, method);
    const char *name = arena_printf(&builder->scratch, "%s.%s", service->full_name, method->name);
    struct declaration place = declaration_child(&declaration, SERVICE_METHOD, i, name);
    if (!is_identifier(method_source->name) || !strmap_add(&contract->methods_by_name, method->full_name, method))
      report(builder, &place, "the name is not an identifier or is declared twice; write another");
    build_method(builder, &place, method_source, method);
  }
}

// Returns false for a service without a usable name. That has been reported with its file, or the set was not written
// by protoc.
static bool service_is_usable(struct contract_builder *builder, const struct source_file *source, size_t position)
{
  const char *name = source->descriptor->service[position]->name;
  struct declaration root = declaration_of_file(source);
  struct declaration declaration = declaration_child(&root, FILE_SERVICE, position, NULL);
  if (!source->file->is_own || source->file->package[0] == '\0')
    return false;
  if (is_identifier(name))
    return true;
  report(builder, &declaration, "the service's name is not an identifier; write letters, digits and _");
  return false;
}

// Allocates all arrays in full before they are filled, because bindings and maps point into them.
static void make_room(struct contract_builder *builder)
{
  struct contract *contract = builder->contract;
  size_t services = 0;
  size_t methods = 0;
  size_t bindings = 0;
  for (size_t i = 0; i < builder->source_count; i++) {
    const struct source_file *source = &builder->sources[i];
    struct declaration root = declaration_of_file(source);
    services += source->descriptor->n_service;
    for (size_t j = 0; j < source->descriptor->n_service; j++) {
      methods += source->descriptor->service[j]->n_method;
      bindings += count_bindings(builder, &root, source->descriptor->service[j]);
    }
  }
  contract->services = arena_zalloc(&contract->arena, services * sizeof(*contract->services));
  contract->methods = arena_zalloc(&contract->arena, methods * sizeof(*contract->methods));
  contract->bindings = arena_zalloc(&contract->arena, bindings * sizeof(*contract->bindings));
}

void build_services(struct contract_builder *builder)
{
  make_room(builder);
  for (size_t i = 0; i < builder->source_count; i++)
    for (size_t j = 0; j < builder->sources[i].descriptor->n_service; j++)
      if (service_is_usable(builder, &builder->sources[i], j))
        build_service(builder, &builder->sources[i], j);
}
