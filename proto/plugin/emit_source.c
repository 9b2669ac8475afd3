#include "common/base/strmap.h"
#include "common/contract/c_names.h"
#include "proto/plugin/emit.h"

// Bytes are written as octal escapes, whose length is fixed, so that no letter behind one becomes a part of it. "?" is
// escaped because of trigraphs.
void emit_literal(struct strbuf *out, const char *text)
{
  strbuf_add_byte(out, '"');
  for (const unsigned char *at = (const unsigned char *)text; *at != '\0'; at++) {
    if (*at < 0x20 || *at > 0x7E || *at == '"' || *at == '\\' || *at == '?')
      strbuf_printf(out, "\\%03o", *at);
    else
      strbuf_add_byte(out, (char)*at);
  }
  strbuf_add_byte(out, '"');
}

void emit_string_array(struct strbuf *out, const char *name, const char *const *items, size_t count)
{
  strbuf_printf(out, "static const char *const %s[] = {", name);
  for (size_t i = 0; i < count; i++) {
    if (i > 0)
      strbuf_add_string(out, ", ");
    emit_literal(out, items[i]);
  }
  strbuf_add_string(out, "};\n");
}

// Includes the header that has the rules of a message from another file, once per header.
static void include_once(const struct emitter *emitter, struct strmap *included, const struct contract_message *message)
{
  if (message == NULL || !message->is_checked)
    return;
  const char *stem = c_name_stem(emitter->arena, message->file->name);
  if (strmap_add(included, slice_from_string(stem), included))
    strbuf_printf(emitter->out, "#include \"%s.bh.h\"\n", stem);
}

static void emit_includes(const struct emitter *emitter)
{
  const struct contract *contract = emitter->contract;
  struct strmap included = {0};
  const char *stem = c_name_stem(emitter->arena, emitter->file);
  (void)!strmap_add(&included, slice_from_string(stem), &included);
  strbuf_printf(emitter->out, "#include \"%s.bh.h\"\n\n#include <stddef.h>\n#include <stdint.h>\n\n", stem);
  for (size_t i = 0; i < contract_message_count(contract); i++) {
    const struct contract_message *message = contract_message(contract, i);
    for (size_t f = 0; emit_is_here(emitter, message->file) && f < message->field_count; f++)
      include_once(emitter, &included, message->fields[f].message);
  }
  for (size_t i = 0; i < contract_service_count(contract); i++) {
    const struct contract_service *service = contract_service(contract, i);
    for (size_t m = 0; emit_is_here(emitter, service->file) && m < service->method_count; m++)
      include_once(emitter, &included, service->methods[m].input);
  }
  strmap_free(&included);
}

void emit_source(const struct emitter *emitter)
{
  strbuf_printf(emitter->out, "// Made by protoc-gen-bulkhead from %s. Do not edit.\n", emitter->file);
  emit_includes(emitter);
  emit_message_tables(emitter);
  emit_services(emitter);
}
