// Extensions of descriptor.proto's options messages: protobuf-c keeps them as unknown fields, from which they are
// unpacked here by the generated code of their own contracts.
#include "common/base/strbuf.h"
#include "common/base/wire.h"
#include "common/contract/builder_internal.h"

#define EXTENSION_METHOD_POLICY 50001
#define EXTENSION_FIELD_RULES 50002
#define EXTENSION_ONEOF_RULES 50003
#define EXTENSION_API_INFO 50004
#define EXTENSION_SERVICE_INFO 50005
#define EXTENSION_HTTP_RULE 72295728

// The bytes behind the length that protobuf-c leaves in front of them.
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

// protoc writes an option that is set in several statements as several fields: together they are the message.
static enum status find_extension(struct contract_builder *builder, const ProtobufCMessage *options, uint32_t number,
                                  struct strbuf *bytes, bool *found)
{
  *found = false;
  for (unsigned i = 0; options != NULL && i < options->n_unknown_fields; i++) {
    const ProtobufCMessageUnknownField *unknown = &options->unknown_fields[i];
    struct slice part;
    if (unknown->tag != number)
      continue;
    if (!strip_length(unknown, &part))
      return error_set(builder->error, STATUS_INVALID_ARGUMENT, "option %u is not a message", number);
    strbuf_add(bytes, part);
    *found = true;
  }
  return STATUS_OK;
}

// HttpRule holds HttpRules (additional_bindings, one level), and protobuf-c unpacks by recursion without a limit.
static bool nests_http_rules(struct slice rule, unsigned depth)
{
  struct wire_reader reader = wire_reader_make(rule);
  struct wire_field field;
  while (wire_read(&reader, &field) == WIRE_FIELD)
    if (field.number == 11 && field.type == WIRE_BYTES && (depth == 1 || nests_http_rules(field.bytes, depth + 1)))
      return true;
  return false;
}

static enum status unpack_extension(struct contract_builder *builder, const ProtobufCMessage *options, uint32_t number,
                                    const ProtobufCMessageDescriptor *descriptor, ProtobufCMessage **out)
{
  struct strbuf bytes;
  bool found;
  strbuf_init(&bytes, 0);
  *out = NULL;
  enum status status = find_extension(builder, options, number, &bytes, &found);
  if (status == STATUS_OK && found) {
    if (number == EXTENSION_HTTP_RULE && nests_http_rules(strbuf_slice(&bytes), 0))
      status = error_set(builder->error, STATUS_INVALID_ARGUMENT, "additional_bindings must not hold further ones");
    else
      *out = protobuf_c_message_unpack(descriptor, &builder->allocator, bytes.size,
                                       (const uint8_t *)strbuf_cstring(&bytes));
    if (status == STATUS_OK && *out == NULL)
      status = error_set(builder->error, STATUS_INVALID_ARGUMENT, "option %u is no valid %s", number, descriptor->name);
  }
  strbuf_free(&bytes);
  return status;
}

enum status options_method_policy(struct contract_builder *builder, const Google__Protobuf__MethodOptions *options,
                                  Bulkhead__V1__MethodPolicy **out)
{
  return unpack_extension(builder, options == NULL ? NULL : &options->base, EXTENSION_METHOD_POLICY,
                          &bulkhead__v1__method_policy__descriptor, (ProtobufCMessage **)(void *)out);
}

enum status options_http_rule(struct contract_builder *builder, const Google__Protobuf__MethodOptions *options,
                              Google__Api__HttpRule **out)
{
  return unpack_extension(builder, options == NULL ? NULL : &options->base, EXTENSION_HTTP_RULE,
                          &google__api__http_rule__descriptor, (ProtobufCMessage **)(void *)out);
}

enum status options_field_rules(struct contract_builder *builder, const Google__Protobuf__FieldOptions *options,
                                Bulkhead__V1__FieldRules **out)
{
  return unpack_extension(builder, options == NULL ? NULL : &options->base, EXTENSION_FIELD_RULES,
                          &bulkhead__v1__field_rules__descriptor, (ProtobufCMessage **)(void *)out);
}

enum status options_oneof_rules(struct contract_builder *builder, const Google__Protobuf__OneofOptions *options,
                                Bulkhead__V1__OneofRules **out)
{
  return unpack_extension(builder, options == NULL ? NULL : &options->base, EXTENSION_ONEOF_RULES,
                          &bulkhead__v1__oneof_rules__descriptor, (ProtobufCMessage **)(void *)out);
}

enum status options_api_info(struct contract_builder *builder, const Google__Protobuf__FileOptions *options,
                             Bulkhead__V1__ApiInfo **out)
{
  return unpack_extension(builder, options == NULL ? NULL : &options->base, EXTENSION_API_INFO,
                          &bulkhead__v1__api_info__descriptor, (ProtobufCMessage **)(void *)out);
}

enum status options_service_info(struct contract_builder *builder, const Google__Protobuf__ServiceOptions *options,
                                 Bulkhead__V1__ServiceInfo **out)
{
  return unpack_extension(builder, options == NULL ? NULL : &options->base, EXTENSION_SERVICE_INFO,
                          &bulkhead__v1__service_info__descriptor, (ProtobufCMessage **)(void *)out);
}
