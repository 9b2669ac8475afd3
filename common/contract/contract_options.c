// Reads extensions of the options in descriptor.proto: protobuf-c keeps them as unknown fields, and the generated code
// of their contracts unpacks them here.
#include "common/base/strbuf.h"
#include "common/base/wire.h"
#include "common/contract/builder_internal.h"
#include "common/contract/descriptor_fields.h"

// Numbers of the extensions: those of bulkhead/v1/options.proto, and google.api.http.
enum {
  EXTENSION_METHOD_POLICY = 50001,
  EXTENSION_FIELD_RULES = 50002,
  EXTENSION_ONEOF_RULES = 50003,
  EXTENSION_API_INFO = 50004,
  EXTENSION_SERVICE_INFO = 50005,
  EXTENSION_HTTP_RULE = 72295728,
};

struct extension {
  int32_t number;
  const char *name;
  const ProtobufCMessageDescriptor *descriptor;
};

// Returns, in `out`, the bytes of an unknown field without the length that protobuf-c leaves in front of them.
static bool strip_length(const ProtobufCMessageUnknownField *unknown, struct slice *out)
{
  size_t at = 0;
  while (at < unknown->len && (unknown->data[at] & 0x80) != 0)
    at++;
  if (unknown->wire_type != PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED || at >= unknown->len)
    return false;
  *out = slice_make(unknown->data + at + 1, unknown->len - at - 1);
  return true;
}

// Concatenates the parts of an option, which protoc writes as several fields when several statements set it. Returns
// false when a part is not a message.
static bool join_parts(const ProtobufCMessage *options, const struct extension *extension, struct strbuf *bytes,
                       bool *found)
{
  *found = false;
  for (unsigned i = 0; options != NULL && i < options->n_unknown_fields; i++) {
    const ProtobufCMessageUnknownField *unknown = &options->unknown_fields[i];
    struct slice part;
    if (unknown->tag != (uint32_t)extension->number)
      continue;
    if (!strip_length(unknown, &part))
      return false;
    strbuf_add(bytes, part);
    *found = true;
  }
  return true;
}

// Whether a HttpRule nests additional_bindings in additional_bindings. Checked before unpacking, because protobuf-c
// recurses without a limit.
static bool nests_http_rules(struct slice rule, unsigned depth)
{
  struct wire_reader reader = wire_reader_make(rule);
  struct wire_field field;
  while (wire_read(&reader, &field) == WIRE_FIELD)
    if (field.number == 11 && field.type == WIRE_BYTES && (depth == 1 || nests_http_rules(field.bytes, depth + 1)))
      return true;
  return false;
}

static ProtobufCMessage *read_extension(struct contract_builder *builder, const struct declaration *place,
                                        const ProtobufCMessage *options, const struct extension *extension)
{
  struct strbuf bytes;
  bool found;
  strbuf_init(&bytes, 0);
  ProtobufCMessage *message = NULL;
  bool readable = join_parts(options, extension, &bytes, &found);
  if (readable && found && extension->number == EXTENSION_HTTP_RULE && nests_http_rules(strbuf_slice(&bytes), 0)) {
    report(builder, place,
           "additional_bindings hold additional_bindings; put all of them side by side into the outer rule");
  } else if (found || !readable) {
    if (readable)
      message = protobuf_c_message_unpack(extension->descriptor, &builder->allocator, bytes.size,
                                          (const uint8_t *)strbuf_cstring(&bytes));
    if (message == NULL)
      report(builder, place, "the option (%s) cannot be read; build the set with protoc and this tree's options.proto",
             extension->name);
  }
  strbuf_free(&bytes);
  return message;
}

struct declaration declaration_of_api_info(const struct declaration *file)
{
  return declaration_option(file, FILE_OPTIONS, EXTENSION_API_INFO);
}

struct declaration declaration_of_policy(const struct declaration *method)
{
  return declaration_option(method, METHOD_OPTIONS, EXTENSION_METHOD_POLICY);
}

struct declaration declaration_of_http(const struct declaration *method)
{
  return declaration_option(method, METHOD_OPTIONS, EXTENSION_HTTP_RULE);
}

struct declaration declaration_of_rules(const struct declaration *field)
{
  return declaration_option(field, FIELD_OPTIONS, EXTENSION_FIELD_RULES);
}

Bulkhead__V1__MethodPolicy *options_method_policy(struct contract_builder *builder, const struct declaration *owner,
                                                  const Google__Protobuf__MethodOptions *options)
{
  const struct extension extension = {EXTENSION_METHOD_POLICY, "bulkhead.v1.method",
                                      &bulkhead__v1__method_policy__descriptor};
  struct declaration place = declaration_of_policy(owner);
  return (void *)read_extension(builder, &place, options == NULL ? NULL : &options->base, &extension);
}

Google__Api__HttpRule *options_http_rule(struct contract_builder *builder, const struct declaration *owner,
                                         const Google__Protobuf__MethodOptions *options)
{
  const struct extension extension = {EXTENSION_HTTP_RULE, "google.api.http", &google__api__http_rule__descriptor};
  struct declaration place = declaration_of_http(owner);
  return (void *)read_extension(builder, &place, options == NULL ? NULL : &options->base, &extension);
}

Bulkhead__V1__FieldRules *options_field_rules(struct contract_builder *builder, const struct declaration *owner,
                                              const Google__Protobuf__FieldOptions *options)
{
  const struct extension extension = {EXTENSION_FIELD_RULES, "bulkhead.v1.field",
                                      &bulkhead__v1__field_rules__descriptor};
  struct declaration place = declaration_of_rules(owner);
  return (void *)read_extension(builder, &place, options == NULL ? NULL : &options->base, &extension);
}

Bulkhead__V1__OneofRules *options_oneof_rules(struct contract_builder *builder, const struct declaration *owner,
                                              const Google__Protobuf__OneofOptions *options)
{
  const struct extension extension = {EXTENSION_ONEOF_RULES, "bulkhead.v1.oneof",
                                      &bulkhead__v1__oneof_rules__descriptor};
  struct declaration place = declaration_option(owner, ONEOF_OPTIONS, EXTENSION_ONEOF_RULES);
  return (void *)read_extension(builder, &place, options == NULL ? NULL : &options->base, &extension);
}

Bulkhead__V1__ApiInfo *options_api_info(struct contract_builder *builder, const struct declaration *owner,
                                        const Google__Protobuf__FileOptions *options)
{
  const struct extension extension = {EXTENSION_API_INFO, "bulkhead.v1.api", &bulkhead__v1__api_info__descriptor};
  struct declaration place = declaration_of_api_info(owner);
  return (void *)read_extension(builder, &place, options == NULL ? NULL : &options->base, &extension);
}

Bulkhead__V1__ServiceInfo *options_service_info(struct contract_builder *builder, const struct declaration *owner,
                                                const Google__Protobuf__ServiceOptions *options)
{
  const struct extension extension = {EXTENSION_SERVICE_INFO, "bulkhead.v1.service",
                                      &bulkhead__v1__service_info__descriptor};
  struct declaration place = declaration_option(owner, SERVICE_OPTIONS, EXTENSION_SERVICE_INFO);
  return (void *)read_extension(builder, &place, options == NULL ? NULL : &options->base, &extension);
}
