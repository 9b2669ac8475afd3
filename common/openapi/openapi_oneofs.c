// Writes the oneofs of a message as JSON Schema: exactly one member of a required oneof is in a request that creates,
// and at most one of every other.
#include "common/openapi/openapi_internal.h"

struct oneof_schema {
  const struct contract_message *message;
  const struct contract_binding *binding;
  enum shape shape;
  int oneof;
};

static bool is_member(const struct oneof_schema *schema, const struct contract_field *field)
{
  return field->oneof_index == schema->oneof && openapi_has_field(field, schema->shape, schema->binding);
}

static bool must_have_member(const struct oneof_schema *schema)
{
  return schema->shape == SHAPE_CREATE && schema->message->oneofs[schema->oneof].required;
}

// Whether the oneof limits what a body holds. It does not where the path sets a member, because then no other member
// can be in the body and none need be.
static bool limits_body(const struct oneof_schema *schema)
{
  size_t members = 0;
  for (size_t i = 0; i < schema->message->field_count; i++) {
    const struct contract_field *field = &schema->message->fields[i];
    if (is_member(schema, field))
      members++;
    else if (field->oneof_index == schema->oneof && openapi_has_field(field, schema->shape, NULL))
      return false;
  }
  return members > 1 || (members == 1 && must_have_member(schema));
}

static void write_required_name(struct openapi *api, struct slice name)
{
  jsontext_key(&api->json, SLICE("required"));
  jsontext_begin_array(&api->json);
  jsontext_string(&api->json, name);
  jsontext_end_array(&api->json);
}

// Writes the schema "this member is there". Its empty property makes openapi-typescript ask for the member, and
// `unevaluatedProperties` tells Redocly that other fields are welcome beside it.
static void write_member(struct openapi *api, struct slice name)
{
  jsontext_begin_object(&api->json);
  write_required_name(api, name);
  jsontext_key(&api->json, SLICE("properties"));
  jsontext_begin_object(&api->json);
  jsontext_key(&api->json, name);
  jsontext_begin_object(&api->json);
  jsontext_end_object(&api->json);
  jsontext_end_object(&api->json);
  jsontext_key_bool(&api->json, "unevaluatedProperties", true);
  jsontext_end_object(&api->json);
}

// Writes the schema "no member is there".
static void write_no_member(struct openapi *api, const struct oneof_schema *schema)
{
  jsontext_begin_object(&api->json);
  jsontext_key(&api->json, SLICE("not"));
  jsontext_begin_object(&api->json);
  jsontext_key(&api->json, SLICE("anyOf"));
  jsontext_begin_array(&api->json);
  for (size_t i = 0; i < schema->message->field_count; i++) {
    if (!is_member(schema, &schema->message->fields[i]))
      continue;
    jsontext_begin_object(&api->json);
    write_required_name(api, schema->message->fields[i].json_name);
    jsontext_end_object(&api->json);
  }
  jsontext_end_array(&api->json);
  jsontext_end_object(&api->json);
  jsontext_end_object(&api->json);
}

static void write_one_of(struct openapi *api, const struct oneof_schema *schema)
{
  jsontext_key(&api->json, SLICE("oneOf"));
  jsontext_begin_array(&api->json);
  for (size_t i = 0; i < schema->message->field_count; i++)
    if (is_member(schema, &schema->message->fields[i]))
      write_member(api, schema->message->fields[i].json_name);
  if (!must_have_member(schema))
    write_no_member(api, schema);
  jsontext_end_array(&api->json);
}

static void write_all_of(struct openapi *api, struct oneof_schema *schema)
{
  jsontext_key(&api->json, SLICE("allOf"));
  jsontext_begin_array(&api->json);
  for (size_t i = 0; i < schema->message->oneof_count; i++) {
    schema->oneof = (int)i;
    if (!limits_body(schema))
      continue;
    jsontext_begin_object(&api->json);
    write_one_of(api, schema);
    jsontext_end_object(&api->json);
  }
  jsontext_end_array(&api->json);
}

void openapi_write_oneofs(struct openapi *api, const struct contract_message *message, enum shape shape,
                          const struct contract_binding *binding)
{
  struct oneof_schema schema = {.message = message, .binding = binding, .shape = shape};
  size_t count = 0;
  int last = 0;
  for (size_t i = 0; i < message->oneof_count; i++) {
    schema.oneof = (int)i;
    if (!limits_body(&schema))
      continue;
    last = schema.oneof;
    count++;
  }
  schema.oneof = last;
  if (count == 1)
    write_one_of(api, &schema);
  else if (count > 1)
    write_all_of(api, &schema);
}
