// Any bytes as a descriptor set: a contract whose tables can be walked, or INVALID_ARGUMENT.
#include "tests/fuzz/fuzz_contract.h"

static void walk(const struct contract *contract)
{
  for (size_t i = 0; i < contract_method_count(contract); i++) {
    const struct contract_method *method = contract_method(contract, i);
    CHECK(contract_method_by_name(contract, method->full_name) == method);
    CHECK(method->policy.access != 0);
    for (size_t j = 0; j < method->input->field_count; j++)
      CHECK(contract_field_by_name(method->input, method->input->fields[j].json_name) == &method->input->fields[j]);
  }
  for (size_t i = 0; i < contract_message_count(contract); i++) {
    const struct contract_message *message = contract_message(contract, i);
    CHECK(contract_message_by_name(contract, slice_from_string(message->full_name)) == message);
  }
  for (size_t i = 0; i < contract_binding_count(contract); i++) {
    const struct contract_binding *binding = contract_binding(contract, i);
    struct contract_route route;
    // A template routes like a path, because it has the same segments.
    enum status status = contract_route(contract, slice_from_string(binding->http_method),
                                        slice_from_string(binding->path), &route, NULL);
    CHECK(status == STATUS_OK || status == STATUS_NOT_FOUND || status == STATUS_UNIMPLEMENTED);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  struct contract *contract;
  struct diagnostics diagnostics;
  diagnostics_init(&diagnostics);
  enum status status = contract_load(slice_make(data, size), &contract, &diagnostics);
  CHECK(status == STATUS_OK || status == STATUS_INVALID_ARGUMENT);
  CHECK((status == STATUS_OK) == (contract != NULL));
  CHECK((status == STATUS_OK) == (diagnostics.count == 0));
  diagnostics_free(&diagnostics);
  if (status == STATUS_OK)
    walk(contract);
  contract_free(&contract);
  return 0;
}
