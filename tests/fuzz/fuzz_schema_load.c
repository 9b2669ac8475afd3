// Any bytes as a descriptor set: a schema whose tables can be walked, or INVALID_ARGUMENT.
#include "tests/fuzz/fuzz_schema.h"

static void walk(const struct schema *schema)
{
  for (size_t i = 0; i < schema_method_count(schema); i++) {
    const struct schema_method *method = schema_method(schema, i);
    CHECK(schema_method_by_name(schema, method->full_name) == method);
    CHECK(method->access != 0);
    for (size_t j = 0; j < method->input->field_count; j++)
      CHECK(schema_field_by_name(method->input, method->input->fields[j].json_name) == &method->input->fields[j]);
  }
  for (size_t i = 0; i < schema_binding_count(schema); i++) {
    const struct schema_binding *binding = schema_binding(schema, i);
    struct schema_route route;
    // A template is no path, but it has the same segments.
    enum status status =
        schema_route(schema, slice_from_string(binding->http_method), slice_from_string(binding->path), &route, NULL);
    CHECK(status == STATUS_OK || status == STATUS_NOT_FOUND || status == STATUS_UNIMPLEMENTED);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  struct schema *schema;
  struct error error;
  enum status status = schema_load(slice_make(data, size), &schema, &error);
  CHECK(status == STATUS_OK || status == STATUS_INVALID_ARGUMENT);
  CHECK((status == STATUS_OK) == (schema != NULL));
  if (status == STATUS_OK)
    walk(schema);
  schema_free(&schema);
  return 0;
}
