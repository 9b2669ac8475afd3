#include "proto/plugin/generate.h"

#include "common/base/wire.h"
#include "common/contract/c_names.h"
#include "common/contract/contract.h"
#include "common/contract/descriptor_fields.h"
#include "proto/plugin/emit.h"

// Field numbers of plugin.proto.
enum { REQUEST_FILE_TO_GENERATE = 1, REQUEST_PROTO_FILE = 15 };
enum { RESPONSE_ERROR = 1, RESPONSE_SUPPORTED_FEATURES = 2, RESPONSE_FILE = 15 };
enum { RESPONSE_FILE_NAME = 1, RESPONSE_FILE_CONTENT = 15 };

// The feature bit of proto3's `optional`. Without it protoc itself refuses optional fields.
#define FEATURE_PROTO3_OPTIONAL 1

// Copies the files of a request as a FileDescriptorSet. They have its shape, under another field number.
static bool read_set(struct slice request, struct strbuf *set)
{
  struct wire_reader reader = wire_reader_make(request);
  struct wire_field field;
  enum wire_result result;
  while ((result = wire_read(&reader, &field)) == WIRE_FIELD)
    if (field.number == REQUEST_PROTO_FILE && field.type == WIRE_BYTES)
      wire_write_bytes(set, SET_FILE, field.bytes);
  return result == WIRE_END && set->size > 0;
}

static void add_file(const char *stem, const char *ending, struct strbuf *text, struct strbuf *response)
{
  struct strbuf name;
  strbuf_init(&name, 0);
  strbuf_printf(&name, "%s%s", stem, ending);
  size_t mark = wire_begin_nested(response, RESPONSE_FILE);
  wire_write_bytes(response, RESPONSE_FILE_NAME, strbuf_slice(&name));
  wire_write_bytes(response, RESPONSE_FILE_CONTENT, strbuf_slice(text));
  wire_end_nested(response, mark);
  strbuf_free(&name);
  strbuf_clear(text);
}

static void generate_file(const struct contract *contract, struct slice proto_file, struct strbuf *response)
{
  struct arena arena;
  struct strbuf text;
  arena_init(&arena);
  strbuf_init(&text, 0);
  const struct emitter emitter = {
      .contract = contract, .file = arena_string(&arena, proto_file), .arena = &arena, .out = &text};
  const char *stem = c_name_stem(&arena, emitter.file);
  emit_header(&emitter);
  add_file(stem, ".bh.h", &text, response);
  emit_source(&emitter);
  add_file(stem, ".bh.c", &text, response);
  strbuf_free(&text);
  arena_free(&arena);
}

static void generate_files(const struct contract *contract, struct slice request, struct strbuf *response)
{
  struct wire_reader reader = wire_reader_make(request);
  struct wire_field field;
  while (wire_read(&reader, &field) == WIRE_FIELD)
    if (field.number == REQUEST_FILE_TO_GENERATE && field.type == WIRE_BYTES)
      generate_file(contract, field.bytes, response);
}

// Adds the diagnostics as the response's error. It begins with a newline, because protoc prints the plugin's name in
// front of it.
static void add_error(const struct diagnostics *diagnostics, struct strbuf *response)
{
  struct strbuf text;
  strbuf_init(&text, 0);
  strbuf_add_byte(&text, '\n');
  diagnostics_write(diagnostics, &text);
  wire_write_bytes(response, RESPONSE_ERROR, strbuf_slice(&text));
  strbuf_free(&text);
}

bool generate_response(struct slice request, struct strbuf *response)
{
  struct strbuf set;
  strbuf_init(&set, 0);
  bool readable = read_set(request, &set);
  if (readable) {
    struct contract *contract;
    struct diagnostics diagnostics;
    diagnostics_init(&diagnostics);
    wire_write_varint(response, RESPONSE_SUPPORTED_FEATURES, FEATURE_PROTO3_OPTIONAL);
    if (contract_load(strbuf_slice(&set), &contract, &diagnostics) == STATUS_OK)
      generate_files(contract, request, response);
    else
      add_error(&diagnostics, response);
    contract_free(&contract);
    diagnostics_free(&diagnostics);
  }
  strbuf_free(&set);
  return readable;
}
