// Reads the parts of a contract that only the OpenAPI document needs: the API's title and license, the headings of
// services, the errors that a method declares.
#include "common/contract/builder_internal.h"
#include "common/contract/descriptor_fields.h"

static const char *copy_text(struct contract_builder *builder, const char *text)
{
  return text == NULL ? "" : keep_text(builder, text);
}

// Returns the comment at the head of a file, above its first statement.
static const char *read_file_comment(struct contract_builder *builder, const struct source_file *source)
{
  struct declaration syntax = declaration_of_file(source);
  syntax.path[syntax.depth++] = FILE_SYNTAX;
  return declaration_comment(builder, &syntax);
}

static void build_file_info(struct contract_builder *builder, const struct source_file *source)
{
  struct contract_info *info = &builder->contract->info;
  struct declaration root = declaration_of_file(source);
  const Bulkhead__V1__ApiInfo *api = options_api_info(builder, &root, source->descriptor->options);
  if (api == NULL)
    return;
  struct declaration option = declaration_of_api_info(&root);
  if (info->title != NULL) {
    report(builder, &option, "a second file sets (bulkhead.v1.api); keep the option in one file");
    return;
  }
  if (api->title == NULL || *api->title == '\0')
    report(builder, &option, "(bulkhead.v1.api) has no title; add title: \"...\"");
  info->title = copy_text(builder, api->title);
  info->description = read_file_comment(builder, source);
  info->license = copy_text(builder, api->license);
  info->contact_name = copy_text(builder, api->contact_name);
  info->contact_url = copy_text(builder, api->contact_url);
}

void build_info(struct contract_builder *builder)
{
  for (size_t i = 0; i < builder->source_count; i++)
    build_file_info(builder, &builder->sources[i]);
  if (builder->contract->info.title == NULL)
    builder->contract->info = (struct contract_info){"API", "", "", "", ""};
}

// Removes "Service" from the end of a name: "ItemService" becomes "Item".
static struct slice strip_suffix(const char *service)
{
  static const struct slice SUFFIX = SLICE_INIT("Service");
  struct slice name = slice_from_string(service);
  if (name.size > SUFFIX.size && slice_equal(slice_skip(name, name.size - SUFFIX.size), SUFFIX))
    name.size -= SUFFIX.size;
  return name;
}

void build_service_info(struct contract_builder *builder, const struct declaration *declaration,
                        const Google__Protobuf__ServiceDescriptorProto *service, struct contract_method *method)
{
  const Bulkhead__V1__ServiceInfo *info = options_service_info(builder, declaration, service->options);
  const char *comment = declaration_comment(builder, declaration);
  bool titled = info != NULL && info->title != NULL && *info->title != '\0';
  method->service_comment = *comment == '\0' ? read_file_comment(builder, declaration->source) : comment;
  method->service_title =
      arena_string(&builder->contract->arena, titled ? slice_from_string(info->title) : strip_suffix(service->name));
}

static bool is_reason(const char *reason)
{
  for (const char *at = reason; *at != '\0'; at++)
    if (!(*at >= 'A' && *at <= 'Z') && !(*at >= '0' && *at <= '9') && *at != '_')
      return false;
  return *reason >= 'A' && *reason <= 'Z';
}

void build_errors(struct contract_builder *builder, const struct declaration *policy_place,
                  const Bulkhead__V1__MethodPolicy *policy, struct contract_method *method)
{
  struct contract_error *errors = arena_array(&builder->contract->arena, policy->n_errors, sizeof(*errors));
  for (size_t i = 0; i < policy->n_errors; i++) {
    const Bulkhead__V1__MethodError *declared = policy->errors[i];
    enum status code = status_from_code((int)declared->code);
    const char *reason = declared->reason == NULL ? "" : declared->reason;
    if (code == STATUS_OK || code == STATUS_UNKNOWN)
      report(builder, policy_place, "an error has no code; add code: CODE_NOT_FOUND or another of Code");
    if (!is_reason(reason))
      report(builder, policy_place, "the reason \"%s\" of an error is not accepted; write A-Z, 0-9 and _", reason);
    errors[i] = (struct contract_error){code, keep_text(builder, reason), copy_text(builder, declared->detail)};
  }
  method->errors = errors;
  method->error_count = policy->n_errors;
}

const struct contract_info *contract_info(const struct contract *contract)
{
  return &contract->info;
}
