// Names that are different in a contract and the same in C, or that C does not accept.
#include "common/contract/builder_internal.h"
#include "common/contract/c_names.h"

// protoc keeps apart the members of one message, because it compares JSON names without regard to case.
static void check_member(struct contract_builder *builder, const struct contract_message *message,
                         const struct contract_field *field)
{
  struct arena *scratch = &builder->scratch;
  const char *name = arena_printf(scratch, SLICE_FMT, SLICE_ARG(field->name));
  const char *member = c_name_field(scratch, name);
  if (!c_name_field_compiles(member))
    diagnostics_add(builder->diagnostics, &field->place, arena_printf(scratch, "%s.%s", message->full_name, name),
                    "the name becomes \"%s\" in C, which does not compile; choose another", member);
}

static void check_message(struct contract_builder *builder, const struct contract_message *message,
                          struct strmap *messages)
{
  const char *own = c_name_own(&builder->scratch, message->full_name);
  if (!strmap_add(messages, slice_from_string(own), (void *)message)) {
    const struct contract_message *other = strmap_get(messages, slice_from_string(own));
    diagnostics_add(builder->diagnostics, &message->place, message->full_name,
                    "the name becomes \"%s\" in C, as that of %s does; choose another", own, other->full_name);
  }
  for (size_t i = 0; i < message->field_count; i++)
    check_member(builder, message, &message->fields[i]);
}

static void check_service(struct contract_builder *builder, const struct contract_service *service)
{
  struct strmap members = {0};
  for (size_t i = 0; i < service->method_count; i++) {
    const struct contract_method *method = &service->methods[i];
    const char *member = c_name_member(&builder->scratch, method->name);
    const char *element = arena_printf(&builder->scratch, "%s.%s", service->full_name, method->name);
    if (c_name_is_keyword(member))
      diagnostics_add(builder->diagnostics, &method->place, element,
                      "the name becomes \"%s\" in C, which is a keyword; choose another", member);
    else if (!strmap_add(&members, slice_from_string(member), (void *)method))
      diagnostics_add(builder->diagnostics, &method->place, element,
                      "the name becomes \"%s\" in C, as that of another method does; choose another", member);
  }
  strmap_free(&members);
}

void check_c_names(struct contract_builder *builder)
{
  struct contract *contract = builder->contract;
  struct strmap messages = {0};
  for (size_t i = 0; i < contract->message_count; i++)
    if (contract->messages[i]->file->is_own)
      check_message(builder, contract->messages[i], &messages);
  strmap_free(&messages);
  for (size_t i = 0; i < contract->service_count; i++)
    check_service(builder, &contract->services[i]);
}
