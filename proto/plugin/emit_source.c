#include "proto/plugin/emit.h"

#include "common/contract/rules.h"
#include "proto/plugin/names.h"

// Of a method whose policy says none, as options.proto promises.
#define DEFAULT_TIMEOUT_MS 5000u

// A literal. Octal escapes have a fixed length, so no letter behind one can become a part of it; "?" is escaped for
// trigraphs.
static void emit_literal(struct strbuf *out, const char *text)
{
  strbuf_add_byte(out, '"');
  for (const unsigned char *at = (const unsigned char *)text; *at != '\0'; at++) {
    if (*at < 0x20 || *at > 0x7E || *at == '"' || *at == '\\' || *at == '?')
      strbuf_printf(out, "\\%03o", *at);
    else
      strbuf_add_byte(out, (char)*at);
  }
  strbuf_add_byte(out, '"');
}

static void emit_string_array(struct strbuf *out, const char *name, char *const *items, size_t count)
{
  strbuf_printf(out, "static const char *const %s[] = {", name);
  for (size_t i = 0; i < count; i++) {
    if (i > 0)
      strbuf_add_string(out, ", ");
    emit_literal(out, items[i]);
  }
  strbuf_add_string(out, "};\n");
}

static void emit_flag(struct strbuf *out, const char *name, bool value)
{
  if (value)
    strbuf_printf(out, ".%s = true, ", name);
}

static void emit_count(struct strbuf *out, const char *name, uint32_t value)
{
  if (value != 0)
    strbuf_printf(out, ".%s = %u, ", name, value);
}

static void emit_bound(struct strbuf *out, const char *name, const Bulkhead__V1__Bound *bound)
{
  if (bound == NULL)
    return;
  strbuf_printf(out, ".has_%s = true, .%s = ", name, name);
  // There is no literal for the smallest number: its digits alone do not fit the type.
  if (bound->value == INT64_MIN)
    strbuf_add_string(out, "INT64_MIN, ");
  else
    strbuf_printf(out, "INT64_C(%lld), ", (long long)bound->value);
}

static void emit_text(struct strbuf *out, const char *name, const char *value)
{
  if (value[0] == '\0')
    return;
  strbuf_printf(out, ".%s = ", name);
  emit_literal(out, value);
  strbuf_add_string(out, ", ");
}

static void emit_format(struct strbuf *out, int format)
{
  static const char *const names[] = {
      [FORMAT_EMAIL] = "FORMAT_EMAIL",
      [FORMAT_UUID] = "FORMAT_UUID",
      [FORMAT_DECIMAL] = "FORMAT_DECIMAL",
      [FORMAT_CURRENCY] = "FORMAT_CURRENCY",
      [FORMAT_JSON_OBJECT] = "FORMAT_JSON_OBJECT",
      [FORMAT_URL_TOKEN] = "FORMAT_URL_TOKEN",
      [FORMAT_LINE] = "FORMAT_LINE",
  };
  if (format != FORMAT_NONE)
    strbuf_printf(out, ".format = %s, ", names[format]);
}

static void emit_field_rules(struct strbuf *out, const Bulkhead__V1__FieldRules *rules, const char *one_of)
{
  strbuf_add_string(out, ".rules = {");
  emit_flag(out, "required", rules->required);
  emit_flag(out, "unique_items", rules->unique_items);
  emit_flag(out, "output_only", rules->output_only);
  emit_flag(out, "immutable", rules->immutable);
  emit_flag(out, "secret", rules->secret);
  emit_format(out, (int)rules->format);
  emit_count(out, "min_length", rules->min_length);
  emit_count(out, "max_length", rules->max_length);
  emit_count(out, "min_items", rules->min_items);
  emit_count(out, "max_items", rules->max_items);
  emit_bound(out, "minimum", rules->minimum);
  emit_bound(out, "maximum", rules->maximum);
  emit_text(out, "from_header", rules->from_header);
  emit_text(out, "to_header", rules->to_header);
  emit_text(out, "example", rules->example);
  if (rules->n_one_of > 0)
    strbuf_printf(out, ".one_of = %s, .one_of_count = %zu, ", one_of, rules->n_one_of);
  strbuf_add_string(out, "}, ");
}

static const char *one_of_name(struct arena *arena, const char *own, const struct plugin_field *field)
{
  return arena_printf(arena, "%s_field_%d_one_of", own, field->proto->number);
}

static void emit_field(struct arena *arena, struct strbuf *out, const char *own, const struct plugin_field *field)
{
  strbuf_printf(out, "    {");
  if (field->rules != NULL)
    emit_field_rules(out, field->rules, one_of_name(arena, own, field));
  if (field->message != NULL && field->message->has_table)
    strbuf_printf(out, ".message = &%s_rules", name_own(arena, field->message->full_name));
  else
    strbuf_add_string(out, ".message = NULL");
  strbuf_printf(out, "},  // %s\n", field->proto->name);
}

static void emit_message(struct arena *arena, struct strbuf *out, const struct plugin_message *message)
{
  const char *own = name_own(arena, message->full_name);
  strbuf_printf(out, "\n// %s\n", message->full_name);
  for (size_t i = 0; i < message->field_count; i++) {
    const struct plugin_field *field = &message->fields[i];
    if (field->rules != NULL && field->rules->n_one_of > 0)
      emit_string_array(out, one_of_name(arena, own, field), field->rules->one_of, field->rules->n_one_of);
  }
  strbuf_printf(out, "static const struct message_field_rules %s_rule_fields[] = {\n", own);
  for (size_t i = 0; i < message->field_count; i++)
    emit_field(arena, out, own, &message->fields[i]);
  strbuf_add_string(out, "};\n");
  char **json_names = arena_array(arena, message->field_count, sizeof(char *));
  for (size_t i = 0; i < message->field_count; i++)
    json_names[i] = message->fields[i].proto->json_name;
  emit_string_array(out, arena_printf(arena, "%s_json_names", own), json_names, message->field_count);
  strbuf_printf(out,
                "const struct message_rules %s_rules = {\n"
                "    .descriptor = &%s__descriptor, .fields = %s_rule_fields, .json_names = %s_json_names};\n",
                own, name_lower(arena, message->full_name), own, own);
}

// Services.
static const char *access_name(Bulkhead__V1__Access access)
{
  switch (access) {
  case BULKHEAD__V1__ACCESS__ACCESS_PUBLIC:
    return "ACCESS_PUBLIC";
  case BULKHEAD__V1__ACCESS__ACCESS_AUTHENTICATED:
    return "ACCESS_AUTHENTICATED";
  case BULKHEAD__V1__ACCESS__ACCESS_ROLE:
    return "ACCESS_ROLE";
  default:
    return "ACCESS_INTERNAL";
  }
}

static void emit_thunk(struct arena *arena, struct strbuf *out, const char *own, const struct plugin_method *method)
{
  const char *member = name_member(arena, method->proto->name);
  strbuf_printf(out,
                "static enum status invoke_%s_%s(const void *handlers, struct call *call,\n"
                "    const ProtobufCMessage *request, ProtobufCMessage *response)\n"
                "{\n"
                "  const struct %s_handlers *table = handlers;\n"
                "  if (table->%s == NULL)\n"
                "    return call_fail(call, STATUS_UNIMPLEMENTED, \"UNIMPLEMENTED\", \"%%s is not implemented\", "
                "\"%s\");\n"
                "  return table->%s(call, (const %s *)(const void *)request, (%s *)(void *)response);\n"
                "}\n",
                own, member, own, member, method->path, member, name_struct(arena, method->input->full_name),
                name_struct(arena, method->output->full_name));
}

// The first part of the package.
static const char *serving_name(struct arena *arena, const struct plugin_service *service)
{
  struct slice package = slice_from_string(service->file->package);
  package.size = slice_find(package, '.', 0);
  return arena_string(arena, package);
}

static void emit_method(struct arena *arena, struct strbuf *out, const struct plugin_service *service, size_t index)
{
  const struct plugin_method *method = &service->methods[index];
  const Bulkhead__V1__MethodPolicy *policy = method->policy;
  const char *own = name_own(arena, service->full_name);
  strbuf_printf(out, "    {.full_name = \"%s/%s\", .service = \"%s\",\n", service->full_name, method->proto->name,
                serving_name(arena, service));
  strbuf_printf(out, "     .input = &%s__descriptor,\n", name_lower(arena, method->input->full_name));
  strbuf_printf(out, "     .output = &%s__descriptor,\n", name_lower(arena, method->output->full_name));
  if (method->input->has_table)
    strbuf_printf(out, "     .input_rules = &%s_rules,\n", name_own(arena, method->input->full_name));
  strbuf_printf(out, "     .policy = {.access = %s", access_name(policy->access));
  if (policy->n_roles > 0)
    strbuf_printf(out, ", .roles = %s_%s_roles, .role_count = %zu", own, name_member(arena, method->proto->name),
                  policy->n_roles);
  strbuf_add_string(out, "},\n");
  strbuf_printf(out, "     .timeout_ms = %u,\n", policy->timeout_ms == 0 ? DEFAULT_TIMEOUT_MS : policy->timeout_ms);
  if (policy->cache_ttl_ms > 0)
    strbuf_printf(out, "     .cache_ttl_ms = %u,\n", policy->cache_ttl_ms);
  const Google__Protobuf__MethodOptions *options = method->proto->options;
  if (options != NULL &&
      options->idempotency_level == GOOGLE__PROTOBUF__METHOD_OPTIONS__IDEMPOTENCY_LEVEL__NO_SIDE_EFFECTS)
    strbuf_add_string(out, "     .no_side_effects = true,\n");
  strbuf_printf(out, "     .invoke = invoke_%s_%s},\n", own, name_member(arena, method->proto->name));
}

static void emit_client(struct arena *arena, struct strbuf *out, const struct plugin_service *service, size_t index)
{
  const struct plugin_method *method = &service->methods[index];
  const char *own = name_own(arena, service->full_name);
  const char *output = name_struct(arena, method->output->full_name);
  strbuf_printf(out,
                "\nenum status %s_%s(struct service *service, struct call *call, const %s *request,\n"
                "    struct arena *arena, %s **response)\n"
                "{\n"
                "  ProtobufCMessage *message = NULL;\n"
                "  enum status status = call_peer(service, call, &%s_methods[%zu], &request->base, arena, &message);\n"
                "  *response = (%s *)(void *)message;\n"
                "  return status;\n"
                "}\n",
                own, name_member(arena, method->proto->name), name_struct(arena, method->input->full_name), output, own,
                index, output);
}

static void emit_service(struct arena *arena, struct strbuf *out, const struct plugin_service *service)
{
  const char *own = name_own(arena, service->full_name);
  strbuf_printf(out, "\n// %s\n", service->full_name);
  for (size_t i = 0; i < service->method_count; i++) {
    const struct plugin_method *method = &service->methods[i];
    if (method->policy->n_roles > 0)
      emit_string_array(out, arena_printf(arena, "%s_%s_roles", own, name_member(arena, method->proto->name)),
                        method->policy->roles, method->policy->n_roles);
    emit_thunk(arena, out, own, method);
  }
  if (service->method_count > 0) {
    strbuf_printf(out, "static const struct rpc_method %s_methods[] = {\n", own);
    for (size_t i = 0; i < service->method_count; i++)
      emit_method(arena, out, service, i);
    strbuf_add_string(out, "};\n");
  }
  strbuf_printf(out, "const struct rpc_service %s = {.full_name = \"%s\", .service = \"%s\"", own, service->full_name,
                serving_name(arena, service));
  if (service->method_count > 0)
    strbuf_printf(out, ",\n    .methods = %s_methods, .method_count = %zu", own, service->method_count);
  strbuf_add_string(out, "};\n");
  for (size_t i = 0; i < service->method_count; i++)
    emit_client(arena, out, service, i);
}

// Rules of messages from other files, once each.
static void include_once(struct arena *arena, struct strbuf *out, struct strmap *included,
                         const struct plugin_message *message)
{
  if (message == NULL || !message->has_table)
    return;
  const char *stem = name_stem(arena, message->file->name);
  if (strmap_add(included, slice_from_string(stem), included))
    strbuf_printf(out, "#include \"%s.bh.h\"\n", stem);
}

static void emit_includes(const struct plugin_contract *contract, const FileProto *file, struct strbuf *out)
{
  struct arena *arena = contract->arena;
  struct strmap included = {0};
  const char *stem = name_stem(arena, file->name);
  strmap_add(&included, slice_from_string(stem), &included);
  strbuf_printf(out, "#include \"%s.bh.h\"\n\n#include <stdint.h>\n\n", stem);
  for (size_t i = 0; i < contract->message_count; i++) {
    const struct plugin_message *message = &contract->messages[i];
    for (size_t f = 0; message->file == file && f < message->field_count; f++)
      include_once(arena, out, &included, message->fields[f].message);
  }
  for (size_t i = 0; i < contract->service_count; i++) {
    const struct plugin_service *service = &contract->services[i];
    for (size_t m = 0; service->file == file && m < service->method_count; m++)
      include_once(arena, out, &included, service->methods[m].input);
  }
  strmap_free(&included);
}

void emit_source(const struct plugin_contract *contract, const FileProto *file, struct strbuf *out)
{
  strbuf_printf(out, "// Made by protoc-gen-bulkhead from %s. Do not edit.\n", file->name);
  emit_includes(contract, file, out);
  for (size_t i = 0; i < contract->message_count; i++) {
    if (contract->messages[i].file == file && contract->messages[i].has_table)
      emit_message(contract->arena, out, &contract->messages[i]);
  }
  for (size_t i = 0; i < contract->service_count; i++) {
    if (contract->services[i].file == file)
      emit_service(contract->arena, out, &contract->services[i]);
  }
}
