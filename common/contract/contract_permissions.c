// Reads which permissions the contracts declare, and which of them each method needs, on what.
#include "common/contract/builder_internal.h"
#include "common/contract/descriptor_fields.h"

#define OWNER_REASON "NOT_THE_OWNER"
#define OWNER_MESSAGE "only its owner may do this, and who may do it for everybody"

_Static_assert(POLICY_MAX_OWNER_DEPTH == CONTRACT_MAX_FIELD_PATH, "a path of fields must fit into a policy");

// ---- declarations ----

static struct contract_permission *find_permission(const struct contract *contract, struct slice name)
{
  for (size_t i = 0; i < contract->permission_count; i++)
    if (slice_equal_string(name, contract->permissions[i].name))
      return &contract->permissions[i];
  return NULL;
}

static bool is_any(struct slice name)
{
  static const struct slice SUFFIX = SLICE_INIT(POLICY_ANY_SUFFIX);
  return name.size > SUFFIX.size && slice_equal(slice_skip(name, name.size - SUFFIX.size), SUFFIX);
}

// Returns whether the declaration can stand; what is wrong with it is reported.
static bool check_declaration(struct contract_builder *builder, const struct declaration *service,
                              const Bulkhead__V1__Permission *declared)
{
  struct slice name = slice_from_string(declared->name);
  size_t most = POLICY_MAX_PERMISSION_BYTES - strlen(POLICY_ANY_SUFFIX);
  if (!policy_permission_valid(name) || is_any(name) || name.size > most)
    report(builder, service,
           "the permission \"%s\" is not accepted; write two words of a-z, 0-9 and _ with a : between, such as "
           "\"items:write\", %zu characters at most; the one that ends in \"" POLICY_ANY_SUFFIX
           "\" is declared with it",
           declared->name, most);
  else if (find_permission(builder->contract, name) != NULL)
    report(builder, service, "the permission \"%s\" is declared twice; keep one of the declarations", declared->name);
  else if (*declared->description == '\0')
    report(builder, service, "the permission \"%s\" has no description; say in a sentence what it allows",
           declared->name);
  else
    return true;
  return false;
}

static void declare(struct contract_builder *builder, const struct declaration *service,
                    const Bulkhead__V1__Permission *declared)
{
  struct contract *contract = builder->contract;
  if (!check_declaration(builder, service, declared))
    return;
  contract->permissions[contract->permission_count++] = (struct contract_permission){
      .name = keep_text(builder, declared->name),
      .any_name = arena_printf(&contract->arena, "%s" POLICY_ANY_SUFFIX, declared->name),
      .description = keep_text(builder, declared->description),
      .every_user = declared->every_user,
  };
}

// Calls `each` for the permissions that each service of our own files declares.
static size_t walk_declarations(struct contract_builder *builder,
                                void (*each)(struct contract_builder *builder, const struct declaration *service,
                                             const Bulkhead__V1__Permission *declared))
{
  size_t count = 0;
  for (size_t i = 0; i < builder->source_count; i++) {
    const struct source_file *source = &builder->sources[i];
    struct declaration root = declaration_of_file(source);
    for (size_t j = 0; source->file->is_own && j < source->descriptor->n_service; j++) {
      const Google__Protobuf__ServiceDescriptorProto *descriptor = source->descriptor->service[j];
      const char *name = arena_printf(&builder->scratch, "%s.%s", source->file->package, descriptor->name);
      struct declaration service = declaration_child(&root, FILE_SERVICE, j, name);
      const Bulkhead__V1__ServiceInfo *info = options_service_info(builder, &service, descriptor->options);
      for (size_t k = 0; info != NULL && k < info->n_permissions; k++, count++)
        if (each != NULL)
          each(builder, &service, info->permissions[k]);
    }
  }
  return count;
}

void declare_permissions(struct contract_builder *builder)
{
  struct contract *contract = builder->contract;
  contract->permissions =
      arena_zalloc(&contract->arena, walk_declarations(builder, NULL) * sizeof(*contract->permissions));
  (void)walk_declarations(builder, declare);
}

static void check_use(struct contract_builder *builder, const struct declaration *service,
                      const Bulkhead__V1__Permission *declared)
{
  const struct contract_permission *permission = find_permission(builder->contract, slice_from_string(declared->name));
  if (permission != NULL && !permission->is_used && !permission->is_any_used)
    report(builder, service, "no method needs the permission \"%s\"; name it in a method's policy, or leave it out",
           declared->name);
}

void check_permissions(struct contract_builder *builder)
{
  (void)walk_declarations(builder, check_use);
}

// ---- what a method needs ----

// What the parts of one method's rule share.
struct rule {
  struct contract_builder *builder;
  const struct declaration *option;
  const Bulkhead__V1__MethodPolicy *source;
  struct contract_method *method;
};

static bool is_set(const char *text)
{
  return text != NULL && *text != '\0';
}

static const char *find_owner_problem(const struct contract_field *field)
{
  if (field == NULL)
    return "is not a field of the request";
  return field->type != CONTRACT_STRING || field->repeated ? "is not a single string" : NULL;
}

static void build_owner_field(const struct rule *rule)
{
  struct policy *policy = &rule->method->policy;
  const struct contract_field *path[CONTRACT_MAX_FIELD_PATH];
  if (rule->method->input == NULL)
    return;
  size_t depth = contract_field_path(rule->method->input, slice_from_string(rule->source->owner_field), path);
  const char *problem = find_owner_problem(depth == 0 ? NULL : path[depth - 1]);
  if (problem == NULL && rule->method->client_streams)
    problem = "belongs to a stream of messages, of which none is the request";
  if (problem != NULL) {
    report(rule->builder, rule->option,
           "owner_field \"%s\" %s; name the string of %s that holds the owner's id, or write owner_stored: true",
           rule->source->owner_field, problem, rule->method->input->full_name);
    return;
  }
  policy->owner = POLICY_OWNER_REQUEST;
  policy->owner_depth = depth;
  for (size_t i = 0; i < depth; i++)
    policy->owner_path[i] = path[i]->number;
}

// Returns the error that the contract declares for those who are not the owner, and declares one where it does not.
static const struct contract_error *find_owner_error(const struct rule *rule)
{
  struct contract_method *method = rule->method;
  for (size_t i = 0; i < method->error_count; i++)
    if (method->errors[i].code == STATUS_PERMISSION_DENIED)
      return &method->errors[i];
  struct contract_error *errors =
      arena_array(&rule->builder->contract->arena, method->error_count + 1, sizeof(*errors));
  if (method->error_count > 0)
    memcpy(errors, method->errors, method->error_count * sizeof(*errors));
  errors[method->error_count] = (struct contract_error){STATUS_PERMISSION_DENIED, OWNER_REASON, OWNER_MESSAGE};
  method->errors = errors;
  return &errors[method->error_count++];
}

static void build_owner_refusal(const struct rule *rule)
{
  const struct contract_error *error = find_owner_error(rule);
  rule->method->policy.owner_reason = error->reason;
  rule->method->policy.owner_message = error->detail[0] == '\0' ? OWNER_MESSAGE : error->detail;
}

static void build_owner(const struct rule *rule)
{
  const Bulkhead__V1__MethodPolicy *source = rule->source;
  struct policy *policy = &rule->method->policy;
  if (is_set(source->owner_field) && source->owner_stored)
    report(rule->builder, rule->option,
           "owner_field and owner_stored are two ownership rules; keep owner_field where the request names the owner");
  if (is_set(source->owner_field))
    build_owner_field(rule);
  else if (source->owner_stored)
    policy->owner = POLICY_OWNER_STORED;
  if (policy->owner != POLICY_OWNER_NONE)
    build_owner_refusal(rule);
}

static void refer(const struct rule *rule, struct slice name)
{
  struct policy *policy = &rule->method->policy;
  bool names_any = is_any(name);
  struct slice base = names_any ? slice_make(name.data, name.size - strlen(POLICY_ANY_SUFFIX)) : name;
  struct contract_permission *declared = find_permission(rule->builder->contract, base);
  if (declared == NULL) {
    report(rule->builder, rule->option,
           "the permission \"" SLICE_FMT "\" is not declared; correct it, or add permissions: {name: \"" SLICE_FMT
           "\" description: \"...\"} to (bulkhead.v1.service) of a service",
           SLICE_ARG(name), SLICE_ARG(base));
    return;
  }
  bool is_owned = policy->owner != POLICY_OWNER_NONE;
  if (names_any && is_owned)
    report(rule->builder, rule->option,
           "the permission \"" SLICE_FMT "\" leaves the ownership rule nothing to decide; leave \"" POLICY_ANY_SUFFIX
           "\" out, or the rule",
           SLICE_ARG(name));
  policy->permission = names_any ? declared->any_name : declared->name;
  policy->permission_any = is_owned ? declared->any_name : NULL;
  policy->every_user = declared->every_user && !names_any;
  declared->is_used = declared->is_used || !names_any;
  declared->is_any_used = declared->is_any_used || names_any || is_owned;
}

void build_permission(struct contract_builder *builder, const struct declaration *option,
                      const Bulkhead__V1__MethodPolicy *source, struct contract_method *method)
{
  const struct rule rule = {builder, option, source, method};
  struct slice name = slice_from_string(source->permission == NULL ? "" : source->permission);
  bool has_rule = is_set(source->owner_field) || source->owner_stored;
  if (name.size == 0 && has_rule)
    report(builder, option, "an ownership rule has no effect without a permission; add permission: \"...\"");
  if (name.size == 0)
    return;
  if (method->policy.access != ACCESS_AUTHENTICATED) {
    report(builder, option,
           "permission has no effect with this access; write access: ACCESS_AUTHENTICATED, or leave it out");
    return;
  }
  if (!policy_permission_valid(name)) {
    report(builder, option,
           "the permission \"" SLICE_FMT
           "\" is not accepted; write two words of a-z, 0-9 and _ with a : between, such as \"items:write\"",
           SLICE_ARG(name));
    return;
  }
  build_owner(&rule);
  refer(&rule, name);
}

size_t contract_permission_count(const struct contract *contract)
{
  return contract->permission_count;
}

const struct contract_permission *contract_permission(const struct contract *contract, size_t index)
{
  return &contract->permissions[index];
}
