// protoc-gen-bulkhead: a plugin of protoc. Reads a CodeGeneratorRequest on standard input, writes a
// CodeGeneratorResponse on standard output: <stem>.bh.h and <stem>.bh.c for each file, or what is wrong with the
// contracts. One arena holds everything; the process ends with it.
//
// https://protobuf.dev/reference/other/ , google/protobuf/compiler/plugin.proto
#include <stdio.h>
#include <string.h>

#include "proto/plugin/contract.h"
#include "proto/plugin/emit.h"
#include "proto/plugin/names.h"
#include "proto/plugin/review.h"

// Far above any set of contracts; a bound on what a mistaken pipe can feed us.
#define MAX_REQUEST_BYTES (256u * 1024 * 1024)
#define READ_BYTES 65536u

typedef Google__Protobuf__Compiler__CodeGeneratorRequest Request;
typedef Google__Protobuf__Compiler__CodeGeneratorResponse Response;
typedef Google__Protobuf__Compiler__CodeGeneratorResponse__File ResponseFile;

static bool read_all(struct strbuf *input)
{
  for (;;) {
    char *place = strbuf_reserve(input, READ_BYTES);
    if (place == NULL)
      return false;
    size_t count = fread(place, 1, READ_BYTES, stdin);
    input->size += count;
    if (count < READ_BYTES)
      return ferror(stdin) == 0;
  }
}

static const FileProto *find_file(const Request *request, const char *name)
{
  for (size_t i = 0; i < request->n_proto_file; i++) {
    if (strcmp(request->proto_file[i]->name, name) == 0)
      return request->proto_file[i];
  }
  return NULL;
}

static void add_file(struct arena *arena, Response *response, const char *name, struct strbuf *text)
{
  ResponseFile *file = arena_alloc(arena, sizeof(*file));
  google__protobuf__compiler__code_generator_response__file__init(file);
  file->name = arena_string(arena, slice_from_string(name));
  file->content = arena_string(arena, strbuf_slice(text));
  response->file[response->n_file++] = file;
  strbuf_clear(text);
}

static void generate(const struct plugin_contract *contract, const Request *request, Response *response)
{
  struct arena *arena = contract->arena;
  struct strbuf text;
  strbuf_init(&text, 0);
  for (size_t i = 0; i < request->n_file_to_generate; i++)
    review_file(contract, find_file(request, request->file_to_generate[i]), &text);
  if (text.size > 0) {
    response->error = arena_string(arena, strbuf_slice(&text));
    strbuf_free(&text);
    return;
  }
  response->file = arena_array(arena, 2 * request->n_file_to_generate, sizeof(*response->file));
  for (size_t i = 0; i < request->n_file_to_generate; i++) {
    const FileProto *file = find_file(request, request->file_to_generate[i]);
    const char *stem = name_stem(arena, file->name);
    emit_header(contract, file, &text);
    add_file(arena, response, arena_printf(arena, "%s.bh.h", stem), &text);
    emit_source(contract, file, &text);
    add_file(arena, response, arena_printf(arena, "%s.bh.c", stem), &text);
  }
  strbuf_free(&text);
}

static bool run(struct arena *arena, const Request *request)
{
  Response response;
  google__protobuf__compiler__code_generator_response__init(&response);
  // Without it protoc itself refuses optional fields, with a message that helps nobody.
  response.has_supported_features = true;
  response.supported_features = GOOGLE__PROTOBUF__COMPILER__CODE_GENERATOR_RESPONSE__FEATURE__FEATURE_PROTO3_OPTIONAL;
  struct plugin_contract contract;
  const char *error = NULL;
  if (plugin_build(&contract, request, arena, &error))
    generate(&contract, request, &response);
  else
    response.error = arena_string(arena, slice_from_string(error));
  strmap_free(&contract.by_name);

  size_t size = google__protobuf__compiler__code_generator_response__get_packed_size(&response);
  uint8_t *bytes = arena_alloc(arena, size);
  google__protobuf__compiler__code_generator_response__pack(&response, bytes);
  return fwrite(bytes, 1, size, stdout) == size && fflush(stdout) == 0;
}

int main(void)
{
  struct arena arena;
  arena_init(&arena);
  struct strbuf input;
  strbuf_init(&input, MAX_REQUEST_BYTES);
  bool done = false;
  if (!read_all(&input)) {
    fputs("protoc-gen-bulkhead: the request on standard input could not be read\n", stderr);
  } else {
    ProtobufCAllocator allocator = plugin_allocator(&arena);
    const Request *request =
        google__protobuf__compiler__code_generator_request__unpack(&allocator, input.size, (const uint8_t *)input.data);
    if (request == NULL)
      fputs("protoc-gen-bulkhead: standard input holds no CodeGeneratorRequest; run me through protoc\n", stderr);
    else if (!(done = run(&arena, request)))
      fputs("protoc-gen-bulkhead: the answer could not be written to standard output\n", stderr);
  }
  strbuf_free(&input);
  arena_free(&arena);
  return done ? 0 : 1;
}
