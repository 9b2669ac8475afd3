// Private to this folder: the parts of the OpenAPI writer.
#ifndef BULKHEAD_OPENAPI_OPENAPI_INTERNAL_H
#define BULKHEAD_OPENAPI_OPENAPI_INTERNAL_H

#include "common/base/arena.h"
#include "common/base/jsontext_writer.h"
#include "common/base/strmap.h"
#include "common/contract/contract.h"
#include "common/contract/path_template.h"

// One binding that OpenAPI can express.
struct operation {
  const struct contract_binding *binding;
  struct path_template path;
  struct slice shape;  // the path with every variable as {}: two paths of one shape are one path item
  unsigned ordinal;    // among the bindings of its method, from 1
};

struct openapi {
  const struct contract *contract;
  struct jsontext_writer json;
  struct arena arena;
  struct strmap written;  // full names of the component schemas that are there
};

void openapi_write_paths(struct openapi *api, const struct operation *operations, size_t count);
// components.schemas of every message and enum that the operations' bodies and replies reach.
void openapi_write_schemas(struct openapi *api, const struct operation *operations, size_t count);

// The schema object of one field, description and examples included, or of its single values.
void openapi_write_field_schema(struct openapi *api, const struct contract_field *field);
// {"$ref": ...} or an inline schema of a message.
void openapi_write_message_schema(struct openapi *api, const struct contract_message *message);
// "description", unless the text is empty.
void openapi_write_description(struct openapi *api, const char *text);

#endif
