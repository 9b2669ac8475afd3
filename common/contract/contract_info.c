// What only the OpenAPI document needs of a contract: the API's title and license, the headings of services, the errors
// that a method declares.
#include "common/contract/builder_internal.h"

enum { FILE_SYNTAX = 12 };

static const char *copy_text(struct contract_builder *builder, const char *text)
{
  return text == NULL ? "" : arena_string(&builder->contract->arena, slice_from_string(text));
}

const char *file_comment(const struct declaration *root)
{
  struct declaration syntax = *root;
  syntax.path[syntax.depth++] = FILE_SYNTAX;
  return declaration_comment(&syntax);
}

enum status build_info(struct contract_builder *builder, const Google__Protobuf__FileDescriptorProto *file,
                       const struct declaration *root)
{
  struct contract_info *info = &builder->contract->info;
  Bulkhead__V1__ApiInfo *api;
  enum status status = options_api_info(builder, file->options, &api);
  if (status != STATUS_OK || api == NULL)
    return status;
  if (info->title != NULL)
    return error_set(builder->error, STATUS_INVALID_ARGUMENT,
                     "%s: a second file sets (bulkhead.v1.api); keep it in one file", file->name);
  if (api->title == NULL || *api->title == '\0')
    return error_set(builder->error, STATUS_INVALID_ARGUMENT, "%s: (bulkhead.v1.api) has no title; add title: \"...\"",
                     file->name);
  info->title = copy_text(builder, api->title);
  info->description = copy_text(builder, file_comment(root));
  info->license = copy_text(builder, api->license);
  info->contact_name = copy_text(builder, api->contact_name);
  info->contact_url = copy_text(builder, api->contact_url);
  return STATUS_OK;
}

void finish_info(struct contract_builder *builder)
{
  if (builder->contract->info.title == NULL)
    builder->contract->info = (struct contract_info){"API", "", "", "", ""};
}

// "ItemService" becomes "Item".
static struct slice bare_name(const char *service)
{
  static const struct slice SUFFIX = SLICE_INIT("Service");
  struct slice name = slice_from_string(service);
  if (name.size > SUFFIX.size && slice_equal(slice_skip(name, name.size - SUFFIX.size), SUFFIX))
    name.size -= SUFFIX.size;
  return name;
}

enum status build_service_info(struct contract_builder *builder, const struct service_entry *entry,
                               struct contract_method *method)
{
  struct arena *arena = &builder->contract->arena;
  Bulkhead__V1__ServiceInfo *info;
  enum status status = options_service_info(builder, entry->service->options, &info);
  if (status != STATUS_OK)
    return status;
  const char *comment = declaration_comment(&entry->declaration);
  bool titled = info != NULL && info->title != NULL && *info->title != '\0';
  method->service_comment = copy_text(builder, *comment == '\0' ? entry->file_comment : comment);
  method->service_title =
      arena_string(arena, titled ? slice_from_string(info->title) : bare_name(entry->service->name));
  return STATUS_OK;
}

static bool is_reason(const char *reason)
{
  for (const char *at = reason; *at != '\0'; at++)
    if (!(*at >= 'A' && *at <= 'Z') && !(*at >= '0' && *at <= '9') && *at != '_')
      return false;
  return *reason >= 'A' && *reason <= 'Z';
}

enum status build_errors(struct contract_builder *builder, const Bulkhead__V1__MethodPolicy *policy,
                         struct contract_method *method)
{
  struct contract_error *errors = arena_array(&builder->contract->arena, policy->n_errors, sizeof(*errors));
  for (size_t i = 0; i < policy->n_errors; i++) {
    const Bulkhead__V1__MethodError *declared = policy->errors[i];
    enum status code = status_from_code((int)declared->code);
    if (code == STATUS_OK || code == STATUS_UNKNOWN)
      return error_set(builder->error, STATUS_INVALID_ARGUMENT,
                       "method " SLICE_FMT ": an error has no code; add code: CODE_NOT_FOUND or another of Code",
                       SLICE_ARG(method->full_name));
    if (declared->reason == NULL || !is_reason(declared->reason))
      return error_set(builder->error, STATUS_INVALID_ARGUMENT,
                       "method " SLICE_FMT ": the reason \"%s\" of an error is not made of A-Z, 0-9 and _",
                       SLICE_ARG(method->full_name), declared->reason == NULL ? "" : declared->reason);
    errors[i] =
        (struct contract_error){code, copy_text(builder, declared->reason), copy_text(builder, declared->detail)};
  }
  method->errors = errors;
  method->error_count = policy->n_errors;
  return STATUS_OK;
}

const struct contract_info *contract_info(const struct contract *contract)
{
  return &contract->info;
}
