#include "proto/plugin/emit.h"

#include "proto/plugin/names.h"

static void emit_rules(const struct plugin_contract *contract, const FileProto *file, struct strbuf *out)
{
  for (size_t i = 0; i < contract->message_count; i++) {
    const struct plugin_message *message = &contract->messages[i];
    if (message->file == file && message->has_table)
      strbuf_printf(out, "extern const struct message_rules %s_rules;\n",
                    name_own(contract->arena, message->full_name));
  }
}

static void emit_handlers(const struct plugin_service *service, struct arena *arena, struct strbuf *out)
{
  const char *own = name_own(arena, service->full_name);
  strbuf_printf(out, "\n// The serving side of %s; the request has been validated, the response is initialised.\n",
                service->full_name);
  strbuf_printf(out, "struct %s_handlers {\n", own);
  for (size_t i = 0; i < service->method_count; i++) {
    const struct plugin_method *method = &service->methods[i];
    strbuf_printf(out, "  enum status (*%s)(struct call *call, const %s *request, %s *response);\n",
                  name_member(arena, method->proto->name), name_struct(arena, method->input->full_name),
                  name_struct(arena, method->output->full_name));
  }
  if (service->method_count == 0)
    strbuf_add_string(out, "  char no_methods;\n");
  strbuf_printf(out, "};\nextern const struct rpc_service %s;\n", own);
}

static void emit_client(const struct plugin_service *service, struct arena *arena, struct strbuf *out)
{
  const char *own = name_own(arena, service->full_name);
  strbuf_printf(out, "\n// The calling side of %s: call_peer with its types.\n", service->full_name);
  for (size_t i = 0; i < service->method_count; i++) {
    const struct plugin_method *method = &service->methods[i];
    strbuf_printf(out,
                  "enum status %s_%s(struct service *service, struct call *call, const %s *request,\n"
                  "    struct arena *arena, %s **response) MUST_CHECK;\n",
                  own, name_member(arena, method->proto->name), name_struct(arena, method->input->full_name),
                  name_struct(arena, method->output->full_name));
  }
}

void emit_header(const struct plugin_contract *contract, const FileProto *file, struct strbuf *out)
{
  struct arena *arena = contract->arena;
  const char *stem = name_stem(arena, file->name);
  const char *guard = name_guard(arena, stem);
  strbuf_printf(out, "// Made by protoc-gen-bulkhead from %s. Do not edit.\n", file->name);
  strbuf_printf(out, "#ifndef %s\n#define %s\n\n", guard, guard);
  strbuf_printf(out, "#include \"%s\"\n", file->n_service > 0 ? "common/service/call.h" : "common/contract/validate.h");
  strbuf_printf(out, "#include \"%s.pb-c.h\"\n\n", stem);
  strbuf_add_string(out, "// What a message may hold; a message without a line here may hold everything.\n");
  emit_rules(contract, file, out);
  for (size_t i = 0; i < contract->service_count; i++) {
    if (contract->services[i].file != file)
      continue;
    emit_handlers(&contract->services[i], arena, out);
    emit_client(&contract->services[i], arena, out);
  }
  strbuf_add_string(out, "\n#endif\n");
}
