#include <string.h>

#include "common/contract/c_names.h"
#include "proto/plugin/emit.h"

bool emit_is_here(const struct emitter *emitter, const struct contract_file *file)
{
  return strcmp(file->name, emitter->file) == 0;
}

// ---- optional fields ----

static const char *value_type(struct arena *arena, const struct contract_field *field)
{
  switch (field->type) {
  case CONTRACT_DOUBLE:
    return "double ";
  case CONTRACT_FLOAT:
    return "float ";
  case CONTRACT_INT64:
  case CONTRACT_SINT64:
  case CONTRACT_SFIXED64:
    return "int64_t ";
  case CONTRACT_UINT64:
  case CONTRACT_FIXED64:
    return "uint64_t ";
  case CONTRACT_INT32:
  case CONTRACT_SINT32:
  case CONTRACT_SFIXED32:
    return "int32_t ";
  case CONTRACT_UINT32:
  case CONTRACT_FIXED32:
    return "uint32_t ";
  case CONTRACT_BOOL:
    return "bool ";
  case CONTRACT_STRING:
    return "char *";
  case CONTRACT_BYTES:
    return "ProtobufCBinaryData ";
  case CONTRACT_ENUM:
    return arena_printf(arena, "%s ", c_name_struct(arena, field->enumeration->full_name));
  case CONTRACT_MESSAGE:
    return arena_printf(arena, "%s *", c_name_struct(arena, field->message->full_name));
  }
  return "int ";
}

// Writes has_, set_ and clear_ functions of an optional field. In protoc-c's struct it is a oneof of one field, whose
// case is the field's number or 0.
static void emit_presence(const struct emitter *emitter, const struct contract_message *message,
                          const struct contract_field *field)
{
  struct arena *arena = emitter->arena;
  const char *name = arena_printf(arena, SLICE_FMT, SLICE_ARG(field->name));
  const char *own = c_name_own(arena, message->full_name);
  const char *type = c_name_struct(arena, message->full_name);
  const char *member = c_name_field(arena, name);
  const char *case_member = c_name_member(arena, arena_printf(arena, "_%s", name));
  strbuf_printf(emitter->out,
                "\n// %s.%s is optional: _has_ tells whether it is set, _set_ sets it, _clear_ removes it.\n",
                message->full_name, name);
  strbuf_printf(emitter->out,
                "static inline bool %s_has_%s(const %s *message)\n{\n  return message->%s_case != 0;\n}\n", own, member,
                type, case_member);
  strbuf_printf(emitter->out,
                "static inline void %s_set_%s(%s *message, %svalue)\n{\n"
                "  message->%s = value;\n  message->%s_case = %u;\n}\n",
                own, member, type, value_type(arena, field), member, case_member, field->number);
  strbuf_printf(emitter->out, "static inline void %s_clear_%s(%s *message)\n{\n  message->%s_case = 0;\n}\n", own,
                member, type, case_member);
}

static void emit_messages(const struct emitter *emitter)
{
  strbuf_add_string(emitter->out,
                    "// The rules of messages, for validate_message. A message that is not listed has no rules.\n");
  for (size_t i = 0; i < contract_message_count(emitter->contract); i++) {
    const struct contract_message *message = contract_message(emitter->contract, i);
    if (emit_is_here(emitter, message->file) && message->is_checked)
      strbuf_printf(emitter->out, "extern const struct message_rules %s_rules;\n",
                    c_name_own(emitter->arena, message->full_name));
  }
  for (size_t i = 0; i < contract_message_count(emitter->contract); i++) {
    const struct contract_message *message = contract_message(emitter->contract, i);
    for (size_t f = 0; f < message->field_count && emit_is_here(emitter, message->file); f++)
      if (message->fields[f].optional)
        emit_presence(emitter, message, &message->fields[f]);
  }
}

// ---- services ----

static void emit_handlers(const struct emitter *emitter, const struct contract_service *service)
{
  struct arena *arena = emitter->arena;
  const char *own = c_name_own(arena, service->full_name);
  strbuf_printf(emitter->out,
                "\n// The serving side of %s: a handler for each method. The request has been validated, the response "
                "is initialised.\n",
                service->full_name);
  strbuf_printf(emitter->out, "struct %s_handlers {\n", own);
  for (size_t i = 0; i < service->method_count; i++) {
    const struct contract_method *method = &service->methods[i];
    const char *input = c_name_struct(arena, method->input->full_name);
    const char *output = c_name_struct(arena, method->output->full_name);
    const char *request =
        method->client_streams ? "struct stream *stream" : arena_printf(arena, "const %s *request", input);
    const char *response =
        method->server_streams ? "struct stream *stream" : arena_printf(arena, "%s *response", output);
    strbuf_printf(emitter->out, "  enum status (*%s)(struct call *call, %s", c_name_member(arena, method->name),
                  request);
    if (!method->client_streams || !method->server_streams)
      strbuf_printf(emitter->out, ", %s", response);
    strbuf_add_string(emitter->out, ");\n");
  }
  if (service->method_count == 0)
    strbuf_add_string(emitter->out, "  char no_methods;\n");
  strbuf_printf(emitter->out, "};\nextern const struct rpc_service %s;\n", own);
}

// Declares what moves the messages of a stream with their types, for both sides.
static void emit_stream(const struct emitter *emitter, const char *name, const struct contract_method *method)
{
  struct arena *arena = emitter->arena;
  const char *input = c_name_struct(arena, method->input->full_name);
  const char *output = c_name_struct(arena, method->output->full_name);
  const char *request = method->client_streams ? "" : arena_printf(arena, ", const %s *request", input);
  strbuf_printf(emitter->out, "void %s(struct service *service, struct call *call%s, struct stream **stream);\n", name,
                request);
  if (method->client_streams)
    strbuf_printf(emitter->out,
                  "bool %s_read_request(struct stream *stream, const %s **message) MUST_CHECK;\n"
                  "bool %s_write_request(struct stream *stream, const %s *message) MUST_CHECK;\n",
                  name, input, name, input);
  if (method->server_streams)
    strbuf_printf(emitter->out,
                  "bool %s_read_response(struct stream *stream, const %s **message) MUST_CHECK;\n"
                  "bool %s_write_response(struct stream *stream, const %s *message) MUST_CHECK;\n",
                  name, output, name, output);
  else
    strbuf_printf(emitter->out,
                  "enum status %s_finish(struct stream *stream, struct arena *arena, %s **response) MUST_CHECK;\n",
                  name, output);
}

static void emit_client(const struct emitter *emitter, const struct contract_service *service)
{
  struct arena *arena = emitter->arena;
  strbuf_printf(emitter->out,
                "\n// The calling side of %s: call_peer and stream_open with its types, and what moves the messages of "
                "streams.\n",
                service->full_name);
  for (size_t i = 0; i < service->method_count; i++) {
    const struct contract_method *method = &service->methods[i];
    if (method->client_streams || method->server_streams) {
      emit_stream(
          emitter,
          arena_printf(arena, "%s_%s", c_name_own(arena, service->full_name), c_name_member(arena, method->name)),
          method);
      continue;
    }
    strbuf_printf(emitter->out,
                  "enum status %s_%s(struct service *service, struct call *call, const %s *request,\n"
                  "    struct arena *arena, %s **response) MUST_CHECK;\n",
                  c_name_own(arena, service->full_name), c_name_member(arena, method->name),
                  c_name_struct(arena, method->input->full_name), c_name_struct(arena, method->output->full_name));
  }
}

static bool has_services(const struct emitter *emitter)
{
  for (size_t i = 0; i < contract_service_count(emitter->contract); i++)
    if (emit_is_here(emitter, contract_service(emitter->contract, i)->file))
      return true;
  return false;
}

void emit_header(const struct emitter *emitter)
{
  struct strbuf *out = emitter->out;
  const char *stem = c_name_stem(emitter->arena, emitter->file);
  const char *guard = c_name_guard(emitter->arena, stem);
  strbuf_printf(out, "// Made by protoc-gen-bulkhead from %s. Do not edit.\n", emitter->file);
  strbuf_printf(out, "#ifndef %s\n#define %s\n\n", guard, guard);
  strbuf_printf(out, "#include <stdbool.h>\n#include <stdint.h>\n\n#include \"%s\"\n",
                has_services(emitter) ? "common/service/call.h\"\n#include \"common/service/stream.h"
                                      : "common/contract/validate.h");
  strbuf_printf(out, "#include \"%s.pb-c.h\"\n\n", stem);
  emit_messages(emitter);
  for (size_t i = 0; i < contract_service_count(emitter->contract); i++) {
    const struct contract_service *service = contract_service(emitter->contract, i);
    if (!emit_is_here(emitter, service->file))
      continue;
    emit_handlers(emitter, service);
    emit_client(emitter, service);
  }
  strbuf_add_string(out, "\n#endif\n");
}
