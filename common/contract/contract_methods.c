// Services and their methods: policy, limits, success; the HTTP rules become bindings in schema_bindings.c.
#include "common/contract/builder_internal.h"

enum { SERVICE_METHOD = 2 };

#define DEFAULT_TIMEOUT_MS 5000u
#define MAX_TIMEOUT_MS 600000u
#define MAX_ROLE_BYTES 32

static enum status refuse(struct contract_builder *builder, const struct contract_method *method, const char *sentence)
{
  return error_set(builder->error, STATUS_INVALID_ARGUMENT, "method " SLICE_FMT ": %s", SLICE_ARG(method->full_name),
                   sentence);
}

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

static enum status build_roles(struct contract_builder *builder, const Bulkhead__V1__MethodPolicy *policy,
                               struct contract_method *method)
{
  if ((method->policy.access == ACCESS_ROLE) != (policy->n_roles > 0))
    return refuse(builder, method, "ACCESS_ROLE needs at least one role, and no other access may name any");
  const char **roles = arena_array(&builder->contract->arena, policy->n_roles, sizeof(*roles));
  for (size_t i = 0; i < policy->n_roles; i++) {
    if (!is_role(policy->roles[i]))
      return refuse(builder, method, "a role is a lower-case letter and up to 31 of a-z, 0-9, _ and -");
    roles[i] = arena_string(&builder->contract->arena, slice_from_string(policy->roles[i]));
  }
  method->policy.roles = roles;
  method->policy.role_count = policy->n_roles;
  return STATUS_OK;
}

// Every {name} of a location template must be a text of the response.
static enum status check_location(struct contract_builder *builder, const struct contract_method *method)
{
  struct slice location = slice_from_string(method->location);
  if (location.size == 0 || location.data[0] != '/')
    return refuse(builder, method, "location must begin with /");
  for (size_t at = slice_find(location, '{', 0); at < location.size; at = slice_find(location, '{', at)) {
    size_t end = slice_find(location, '}', at);
    struct slice name = slice_make(location.data + at + 1, end - at - 1);
    const struct contract_field *field = end == location.size ? NULL : contract_field_by_name(method->output, name);
    if (field == NULL || field->type != CONTRACT_STRING || field->repeated)
      return refuse(builder, method, "location names no string field of the response");
    at = end;
  }
  return STATUS_OK;
}

static enum status build_success(struct contract_builder *builder, const Bulkhead__V1__MethodPolicy *policy,
                                 struct contract_method *method)
{
  if (policy->success_status != 0 && (policy->success_status < 200 || policy->success_status > 299))
    return refuse(builder, method, "success_status must be from 200 to 299");
  bool empty = method->output->well_known == CONTRACT_EMPTY;
  method->success_status = policy->success_status != 0 ? (int)policy->success_status : empty ? 204 : 200;
  if (policy->location == NULL || *policy->location == '\0')
    return STATUS_OK;
  method->location = arena_string(&builder->contract->arena, slice_from_string(policy->location));
  return check_location(builder, method);
}

static enum status build_policy(struct contract_builder *builder, const Bulkhead__V1__MethodPolicy *policy,
                                struct contract_method *method)
{
  if (policy == NULL || policy->access == BULKHEAD__V1__ACCESS__ACCESS_UNSPECIFIED)
    return refuse(builder, method, "it has no access policy; add option (bulkhead.v1.method) = {access: ...}");
  if ((unsigned)policy->access > ACCESS_INTERNAL)
    return refuse(builder, method, "unknown access");
  if ((unsigned)policy->rate_class > CONTRACT_RATE_CREDENTIAL)
    return refuse(builder, method, "unknown rate class");
  if (policy->timeout_ms > MAX_TIMEOUT_MS)
    return refuse(builder, method, "timeout_ms must be at most 600000");
  method->policy.access = (enum access)policy->access;
  method->rate_class = (enum contract_rate_class)policy->rate_class;
  method->timeout_ms = policy->timeout_ms == 0 ? DEFAULT_TIMEOUT_MS : policy->timeout_ms;
  method->cache_ttl_ms = policy->cache_ttl_ms;
  enum status status = build_roles(builder, policy, method);
  if (status == STATUS_OK)
    status = build_errors(builder, policy, method);
  return status != STATUS_OK ? status : build_success(builder, policy, method);
}

static void set_idempotency(const Google__Protobuf__MethodOptions *options, struct contract_method *method)
{
  if (options == NULL || !options->has_idempotency_level)
    return;
  method->no_side_effects =
      options->idempotency_level == GOOGLE__PROTOBUF__METHOD_OPTIONS__IDEMPOTENCY_LEVEL__NO_SIDE_EFFECTS;
  method->idempotent = method->no_side_effects ||
                       options->idempotency_level == GOOGLE__PROTOBUF__METHOD_OPTIONS__IDEMPOTENCY_LEVEL__IDEMPOTENT;
}

static bool is_name(const char *name)
{
  size_t size = name == NULL ? 0 : strlen(name);
  for (size_t i = 0; i < size; i++) {
    char letter = (char)(name[i] | 0x20);
    if (!(letter >= 'a' && letter <= 'z') && !(name[i] >= '0' && name[i] <= '9') && name[i] != '_')
      return false;
  }
  return size > 0;
}

static enum status name_method(struct contract_builder *builder, const struct service_entry *entry,
                               const Google__Protobuf__MethodDescriptorProto *source, struct contract_method *method)
{
  struct arena *arena = &builder->contract->arena;
  const char *service = entry->service->name;
  if (!is_name(service) || !is_name(source->name) || *entry->package == '\0')
    return error_set(builder->error, STATUS_INVALID_ARGUMENT, "a service or method has no package or no valid name");
  struct slice package = slice_from_string(entry->package);
  method->service = arena_string(arena, slice_make(package.data, slice_find(package, '.', 0)));
  method->service_full_name = arena_printf(arena, "%s.%s", entry->package, service);
  method->name = arena_string(arena, slice_from_string(source->name));
  method->full_name = slice_from_string(arena_printf(arena, "%s/%s", method->service_full_name, method->name));
  if (!strmap_add(&builder->contract->methods_by_name, method->full_name, method))
    return refuse(builder, method, "it is declared twice");
  return STATUS_OK;
}

static enum status build_http(struct contract_builder *builder, const Google__Protobuf__MethodDescriptorProto *source,
                              const struct contract_method *method, const Google__Api__HttpRule *rule)
{
  if (rule == NULL)
    return STATUS_OK;
  bool streams = (source->has_client_streaming && source->client_streaming) ||
                 (source->has_server_streaming && source->server_streaming);
  if (streams)
    return refuse(builder, method, "a streaming method cannot have an HTTP binding");
  if (method->policy.access == ACCESS_INTERNAL)
    return refuse(builder, method, "an internal method cannot have an HTTP binding");
  return build_bindings(builder, method, rule);
}

static enum status build_method(struct contract_builder *builder, const struct service_entry *entry, size_t position,
                                struct contract_method *method)
{
  const Google__Protobuf__MethodDescriptorProto *source = entry->service->method[position];
  struct declaration declaration = declaration_child(&entry->declaration, SERVICE_METHOD, position);
  Bulkhead__V1__MethodPolicy *policy = NULL;
  Google__Api__HttpRule *rule = NULL;
  method->comment = arena_string(&builder->contract->arena, slice_from_string(declaration_comment(&declaration)));
  set_idempotency(source->options, method);
  enum status status = name_method(builder, entry, source, method);
  if (status == STATUS_OK)
    status = build_service_info(builder, entry, method);
  if (status == STATUS_OK)
    status = build_message(builder, source->input_type, &method->input);
  if (status == STATUS_OK)
    status = build_message(builder, source->output_type, &method->output);
  if (status == STATUS_OK)
    status = options_method_policy(builder, source->options, &policy);
  if (status == STATUS_OK)
    status = build_policy(builder, policy, method);
  if (status == STATUS_OK)
    status = options_http_rule(builder, source->options, &rule);
  if (status == STATUS_OK)
    status = build_http(builder, source, method, rule);
  return status;
}

// Both arrays are made whole first, for bindings and maps point into them.
static enum status make_room(struct contract_builder *builder, const struct service_entry *services, size_t count)
{
  struct contract *contract = builder->contract;
  size_t methods = 0;
  size_t bindings = 0;
  for (size_t i = 0; i < count; i++) {
    methods += services[i].service->n_method;
    for (size_t j = 0; j < services[i].service->n_method; j++) {
      Google__Api__HttpRule *rule;
      enum status status = options_http_rule(builder, services[i].service->method[j]->options, &rule);
      if (status != STATUS_OK) {
        const char *name = services[i].service->method[j]->name;
        error_prefix(builder->error, "method %s.%s", services[i].package, name == NULL ? "" : name);
        return status;
      }
      bindings += rule == NULL ? 0 : 1 + rule->n_additional_bindings;
    }
  }
  contract->methods = arena_zalloc(&contract->arena, methods * sizeof(*contract->methods));
  contract->bindings = arena_zalloc(&contract->arena, bindings * sizeof(*contract->bindings));
  return STATUS_OK;
}

enum status build_methods(struct contract_builder *builder, const struct service_entry *services, size_t count)
{
  struct contract *contract = builder->contract;
  enum status status = make_room(builder, services, count);
  for (size_t i = 0; i < count && status == STATUS_OK; i++)
    for (size_t j = 0; j < services[i].service->n_method && status == STATUS_OK; j++) {
      struct contract_method *method = &contract->methods[contract->method_count];
      method->index = contract->method_count++;
      status = build_method(builder, &services[i], j, method);
    }
  return status;
}
