// Private to this folder: the parts of the OpenAPI writer.
#ifndef BULKHEAD_OPENAPI_OPENAPI_INTERNAL_H
#define BULKHEAD_OPENAPI_OPENAPI_INTERNAL_H

#include "common/base/arena.h"
#include "common/base/jsontext_writer.h"
#include "common/base/strmap.h"
#include "common/contract/contract.h"
#include "common/contract/path_template.h"
#include "common/openapi/openapi.h"

// A message has up to three schemas, because what a client receives, must send and may change differs.
enum shape {
  SHAPE_REPLY,   // every field that is always sent is required; no secrets
  SHAPE_CREATE,  // a whole message in a request: no output_only fields; required is what may not be left out
  SHAPE_UPDATE,  // the body of a PATCH: nothing is required, what is absent stays as it is; no immutable fields
};

// One binding that OpenAPI can express.
struct operation {
  const struct contract_binding *binding;
  struct path_template path;
  struct slice shape;         // the path with every variable as {}: two paths of one shape are one path item
  unsigned ordinal;           // among the bindings of its method, from 1
  const char *rendered_path;  // "/v1/items/{id}", with the names of the first operation of its shape
  struct slice example_path;  // the same with example values: "/v1/items/01936b5e-…"
};

struct openapi {
  const struct contract *contract;
  const struct openapi_options *options;
  struct jsontext_writer json;
  struct arena arena;
  struct strmap replied;  // full names of the messages that replies hold
  struct strmap written;  // names of the component schemas that are there
};

// ---- openapi.c ----

// Writes "description", unless the text is empty.
void openapi_write_description(struct openapi *api, const char *text);
// Writes a string member, unless the text is NULL.
void openapi_write_text(struct openapi *api, const char *key, const char *text);

// ---- openapi_names.c: paths and the names in them ----

// Fills in `rendered_path` and `example_path`.
void openapi_name_paths(struct openapi *api, struct operation *operations, size_t count);
// "item.id", in JSON names.
const char *openapi_parameter_name(struct openapi *api, const struct contract_field *const *path, size_t depth);
// The name of the parameter that begins at a segment: its variable's field or, for a bare wildcard, its number.
const char *openapi_segment_name(struct openapi *api, const struct operation *operation, size_t segment);
// A value for the parameter that begins at a segment.
struct slice openapi_segment_example(struct openapi *api, const struct operation *operation, size_t segment);
// The segment after this one, or after the variable that begins here.
size_t openapi_next_segment(const struct operation *operation, size_t segment);
// Whether a parameter begins at the segment: a wildcard, or a variable, even of one literal.
bool openapi_is_parameter(const struct operation *operation, size_t segment);
// The text up to the first full stop that ends a sentence.
struct slice openapi_first_sentence(const char *text);

// ---- openapi_paths.c ----

void openapi_write_paths(struct openapi *api, const struct operation *operations, size_t count);

// ---- openapi_responses.c ----

void openapi_write_responses(struct openapi *api, const struct operation *operation);
// Whether a GET of the binding answers with an ETag and so heeds If-None-Match.
bool openapi_has_etag(const struct contract_binding *binding);
// components.responses: the problems that many operations share.
void openapi_write_shared_responses(struct openapi *api, const struct operation *operations, size_t count);

// ---- openapi_shapes.c: which fields a shape has ----

// The shape of the message in a binding's request body.
enum shape openapi_body_shape(const struct contract_binding *binding);
// The shape of what `field` holds inside a message of the given shape.
enum shape openapi_inner_shape(const struct contract_field *field, enum shape shape);
// Whether the shape has the field. `binding` is that of a request body's own message, else NULL: what path and headers
// fill is not part of the body.
bool openapi_has_field(const struct contract_field *field, enum shape shape, const struct contract_binding *binding);
// Whether the field of a reply is always there, or the field of a request must be.
bool openapi_field_is_required(const struct contract_field *field, enum shape shape);
// The name of a message's component schema: "item.v1.Item", "item.v1.ItemCreate", "item.v1.ItemUpdate".
const char *openapi_component_name(struct openapi *api, const struct contract_message *message, enum shape shape);
// Whether one of the binding's variables is bound to the field that `path` leads to.
bool openapi_is_path_bound(const struct contract_binding *binding, const struct contract_field *const *path,
                           size_t depth);

// ---- openapi_schemas.c ----

// Fills in `replied`; names of components depend on it.
void openapi_collect_replied(struct openapi *api, const struct operation *operations, size_t count);
// components.schemas of every message and enum that the operations' bodies and replies reach.
void openapi_write_schemas(struct openapi *api, const struct operation *operations, size_t count);
// The schema object of one field, description and examples included.
void openapi_write_field_schema(struct openapi *api, const struct contract_field *field, enum shape shape);
// {"$ref": ...} or an inline schema of a message.
void openapi_write_message_schema(struct openapi *api, const struct contract_message *message, enum shape shape);

// ---- openapi_types.c: one value ----

// The members of the schema of a single value, without what belongs to the field as a whole.
void openapi_write_value_members(struct openapi *api, const struct contract_field *field, enum shape shape);
void openapi_write_message_members(struct openapi *api, const struct contract_message *message, enum shape shape);
// Whether JSON writes the type as a string.
bool openapi_is_json_string(enum contract_type type);

// ---- openapi_examples.c: values that keep the rules ----

// A JSON value of the field: the contract's example, else one that is made up.
void openapi_write_field_example(struct openapi *api, const struct contract_field *field, enum shape shape);
// A JSON object of the message, or the JSON form of a well-known type.
void openapi_write_message_example(struct openapi *api, const struct contract_message *message, enum shape shape,
                                   const struct contract_binding *binding);
// The text of a single value as it stands in a path or a header.
struct slice openapi_example_text(struct openapi *api, const struct contract_field *field);

#endif
