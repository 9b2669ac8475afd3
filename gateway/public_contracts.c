#include "gateway/public_contracts.h"

#include "common/base/check.h"
#include "gateway/own_services.h"
#include "google/protobuf/descriptor.pb-c.h"

static bool is_public(const struct contract_method *method)
{
  return method->policy.access != ACCESS_INTERNAL || own_services_offer(method->full_name);
}

bool public_contracts_have(const struct contract_service *service)
{
  for (size_t i = 0; i < service->method_count; i++)
    if (is_public(&service->methods[i]))
      return true;
  return false;
}

// Keeps those of the methods that are public. `prefix` is "package.Service/".
static void keep_methods(Google__Protobuf__ServiceDescriptorProto *service, const struct contract *contract,
                         struct slice prefix)
{
  struct strbuf name;
  strbuf_init(&name, 0);
  size_t kept = 0;
  for (size_t i = 0; i < service->n_method; i++) {
    strbuf_clear(&name);
    strbuf_add(&name, prefix);
    strbuf_add_string(&name, service->method[i]->name);
    const struct contract_method *method = contract_method_by_name(contract, strbuf_slice(&name));
    if (method != NULL && is_public(method))
      service->method[kept++] = service->method[i];
    else
      google__protobuf__method_descriptor_proto__free_unpacked(service->method[i], NULL);
  }
  service->n_method = kept;
  strbuf_free(&name);
}

static void keep_services(Google__Protobuf__FileDescriptorProto *file, const struct contract *contract)
{
  struct strbuf prefix;
  strbuf_init(&prefix, 0);
  size_t kept = 0;
  for (size_t i = 0; i < file->n_service; i++) {
    strbuf_clear(&prefix);
    strbuf_printf(&prefix, "%s.%s/", file->package, file->service[i]->name);
    keep_methods(file->service[i], contract, strbuf_slice(&prefix));
    if (file->service[i]->n_method > 0)
      file->service[kept++] = file->service[i];
    else
      google__protobuf__service_descriptor_proto__free_unpacked(file->service[i], NULL);
  }
  file->n_service = kept;
  strbuf_free(&prefix);
}

void public_contracts_write(struct slice protoset, const struct contract *contract, struct strbuf *out)
{
  Google__Protobuf__FileDescriptorSet *set =
      google__protobuf__file_descriptor_set__unpack(NULL, protoset.size, (const uint8_t *)protoset.data);
  // The contract was made of it.
  CHECK(set != NULL);
  for (size_t i = 0; i < set->n_file; i++) {
    Google__Protobuf__FileDescriptorProto *file = set->file[i];
    if (file->source_code_info != NULL)
      google__protobuf__source_code_info__free_unpacked(file->source_code_info, NULL);
    file->source_code_info = NULL;
    keep_services(file, contract);
  }
  uint8_t *to = (uint8_t *)strbuf_reserve(out, google__protobuf__file_descriptor_set__get_packed_size(set));
  out->size += google__protobuf__file_descriptor_set__pack(set, to);
  google__protobuf__file_descriptor_set__free_unpacked(set, NULL);
}
