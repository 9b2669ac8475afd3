// The parts of the OpenAPI writer share this. Private to this folder.
#ifndef BULKHEAD_OPENAPI_OPENAPI_INTERNAL_H
#define BULKHEAD_OPENAPI_OPENAPI_INTERNAL_H

#include "common/base/arena.h"
#include "common/base/jsontext_writer.h"
#include "common/base/strmap.h"
#include "common/contract/contract.h"
#include "common/contract/path_template.h"
#include "common/openapi/openapi.h"

// The shape of a message in a schema. A message has up to three schemas, because what a client receives, must send and
// may change differs.
enum shape {
  SHAPE_REPLY,   // every field that is always sent is required; no secrets
  SHAPE_CREATE,  // a whole message in a request: no output_only fields; required is what may not be left out
  SHAPE_UPDATE,  // the body of a PATCH: nothing is required, what is absent stays as it is; no immutable fields
};

// An operation of the document: one binding that OpenAPI can express.
struct operation {
  const struct contract_binding *binding;
  const char *http_method;  // that of the binding; one of several where the binding takes any
  struct path_template path;
  struct slice shape;         // the path with every variable as {}; paths of one shape share a path item
  unsigned ordinal;           // place among the bindings of the method, counted from 1
  const char *rendered_path;  // "/v1/items/{id}", with the names of the first operation of its shape
  struct slice example_path;  // the path with example values: "/v1/items/01936b5e-…"
};

// The messages on the way down to one, which is the first: a message may hold itself.
struct message_trail {
  const struct message_trail *outer;
  const struct contract_message *message;
};

static inline bool openapi_trail_has(const struct message_trail *trail, const struct contract_message *message)
{
  for (; trail != NULL; trail = trail->outer)
    if (trail->message == message)
      return true;
  return false;
}

struct openapi {
  const struct contract *contract;
  const struct openapi_options *options;
  struct jsontext_writer json;
  struct arena arena;
  struct strmap replied;                // messages that replies hold, by full name
  struct strmap written;                // component schemas that have been written, by name
  const struct message_trail *example;  // the messages whose examples are being written
};

// ---- openapi.c ----

// Writes "description", unless the text is empty.
void openapi_write_description(struct openapi *api, const char *text);
// Writes a string member, unless the text is NULL.
void openapi_write_text(struct openapi *api, const char *key, const char *text);

// ---- openapi_names.c: paths and the names in them ----

// Fills in `rendered_path` and `example_path`.
void openapi_name_paths(struct openapi *api, struct operation *operations, size_t count);
// Returns the name of a parameter for a field: the JSON names of the path that leads to it, such as "item.id".
const char *openapi_parameter_name(struct openapi *api, const struct contract_field *const *path, size_t depth);
// Returns the name of the parameter that begins at a segment: its variable's field or, for a bare wildcard, its number.
const char *openapi_segment_name(struct openapi *api, const struct operation *operation, size_t segment);
// Returns an example value for the parameter that begins at a segment.
struct slice openapi_segment_example(struct openapi *api, const struct operation *operation, size_t segment);
// Returns the index of the segment after this one, or after the variable that begins here.
size_t openapi_next_segment(const struct operation *operation, size_t segment);
// Whether a parameter begins at the segment: a wildcard, or a variable, even of one literal.
bool openapi_is_parameter(const struct operation *operation, size_t segment);
// Returns the text up to the first full stop that ends a sentence, as one line.
struct slice openapi_first_sentence(struct openapi *api, const char *text);

// ---- openapi_paths.c ----

void openapi_write_paths(struct openapi *api, const struct operation *operations, size_t count);

// ---- openapi_responses.c ----

void openapi_write_responses(struct openapi *api, const struct operation *operation);
// Whether the binding is a GET that answers with an ETag, and so answers 304 to a matching If-None-Match.
bool openapi_has_etag(const struct contract_binding *binding);
// Writes components.responses: the problems that many operations share.
void openapi_write_shared_responses(struct openapi *api, const struct operation *operations, size_t count);

// ---- openapi_oneofs.c ----

// Writes which members of the message's oneofs may be there together, as "oneOf", or as "allOf" for several oneofs.
// Writes nothing where they limit nothing. `binding` is as in openapi_has_field.
void openapi_write_oneofs(struct openapi *api, const struct contract_message *message, enum shape shape,
                          const struct contract_binding *binding);

// ---- openapi_shapes.c: which fields a shape has ----

// Returns the shape of the message in a binding's request body.
enum shape openapi_body_shape(const struct contract_binding *binding);
// Returns the shape of the message that `field` holds inside a message of the given shape.
enum shape openapi_inner_shape(const struct contract_field *field, enum shape shape);
// Whether the schema of the shape has the field. For the message that is a request body, `binding` is its binding,
// because fields that path and headers fill are not part of the body; for every other message it is NULL.
bool openapi_has_field(const struct contract_field *field, enum shape shape, const struct contract_binding *binding);
// Whether the field of a reply is always there, or the field of a request must be.
bool openapi_field_is_required(const struct contract_field *field, enum shape shape);
// Returns the name of a message's component schema: "item.v1.Item", "item.v1.ItemCreate" or "item.v1.ItemUpdate".
const char *openapi_component_name(struct openapi *api, const struct contract_message *message, enum shape shape);
// Whether one of the binding's path variables fills the field that `path` leads to.
bool openapi_is_path_bound(const struct contract_binding *binding, const struct contract_field *const *path,
                           size_t depth);

// Whether JSON has the message as one text, number or boolean, so that it can be a parameter.
static inline bool openapi_is_one_value(const struct contract_message *message)
{
  switch (message->well_known) {
  case CONTRACT_TIMESTAMP:
  case CONTRACT_DURATION:
  case CONTRACT_FIELD_MASK:
  case CONTRACT_WRAPPER:
    return true;
  default:
    return false;
  }
}

// ---- openapi_schemas.c ----

// Fills in `replied`. Must be called before openapi_component_name, which depends on it.
void openapi_collect_replied(struct openapi *api, const struct operation *operations, size_t count);
// Writes components.schemas: every message and enum that the operations' bodies and replies reach.
void openapi_write_schemas(struct openapi *api, const struct operation *operations, size_t count);
// Writes the schema object of one field, description and examples included.
void openapi_write_field_schema(struct openapi *api, const struct contract_field *field, enum shape shape);
// Writes the schema object of the field that the binding's response_body names.
void openapi_write_body_schema(struct openapi *api, const struct contract_binding *binding);
// Writes the schema of a message: {"$ref": ...}, or an inline schema.
void openapi_write_message_schema(struct openapi *api, const struct contract_message *message, enum shape shape);

// ---- openapi_types.c: one value ----

// Writes the members of the schema of a single value, without what belongs to the field as a whole.
void openapi_write_value_members(struct openapi *api, const struct contract_field *field, enum shape shape);
void openapi_write_message_members(struct openapi *api, const struct contract_message *message, enum shape shape);
// Whether JSON writes the type as a string.
bool openapi_is_json_string(enum contract_type type);

// ---- openapi_examples.c: values that keep the rules ----

// Writes an example of the field as a JSON value: the contract's own, else one that is made up.
void openapi_write_field_example(struct openapi *api, const struct contract_field *field, enum shape shape);
// Writes an example of the message: a JSON object, or the JSON form of a well-known type.
void openapi_write_message_example(struct openapi *api, const struct contract_message *message, enum shape shape,
                                   const struct contract_binding *binding);
// Returns an example of the field as the text that stands in a path or a header.
struct slice openapi_example_text(struct openapi *api, const struct contract_field *field);

#endif
