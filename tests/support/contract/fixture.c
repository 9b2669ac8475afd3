#include "tests/support/contract/fixture.h"

#include <criterion/criterion.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/contract/json_body.h"

static struct arena memory;

// Creates a buffer that the arena keeps within reach, so that a leak checker sees its owner.
static struct strbuf *new_buffer(void)
{
  return arena_zalloc(&memory, sizeof(struct strbuf));
}

static const char HEAD[] = "syntax = \"proto3\";\npackage t.v1;\n";
// What a contract's text may name, and the file to import for it.
static const char *const IMPORTS[][2] = {
    {"bulkhead.v1", "bulkhead/v1/options.proto"},
    {"google.api", "google/api/annotations.proto"},
    {"google.protobuf.Any", "google/protobuf/any.proto"},
    {"google.protobuf.Empty", "google/protobuf/empty.proto"},
    {"google.protobuf.Timestamp", "google/protobuf/timestamp.proto"},
    {"google.protobuf.Duration", "google/protobuf/duration.proto"},
    {"google.protobuf.FieldMask", "google/protobuf/field_mask.proto"},
    {"google.protobuf.Int64Value", "google/protobuf/wrappers.proto"},
    {"google.protobuf.StringValue", "google/protobuf/wrappers.proto"},
    {"google.protobuf.Struct", "google/protobuf/struct.proto"},
};

struct slice fixture_read_file(const char *path)
{
  struct strbuf *content = new_buffer();
  cr_assert(strbuf_read_file(content, path), "%s cannot be read", path);
  return strbuf_slice(content);
}

static struct slice fixture_compile_file(const char *folder, const char *name)
{
  char out[] = "/tmp/bulkhead-contract-XXXXXX";
  int descriptor = mkstemp(out);
  cr_assert(descriptor >= 0);
  close(descriptor);
  char *include = arena_printf(&memory, "-I%s", folder);
  char *result = arena_printf(&memory, "--descriptor_set_out=%s", out);
  char *source = arena_printf(&memory, "%s/%s", folder, name);
  char *arguments[] = {"protoc", include, "-Iproto", "-I/usr/include", "--include_imports", "--include_source_info",
                       result,   source,  NULL};
  pid_t child;
  int status = -1;
  cr_assert(posix_spawnp(&child, "protoc", NULL, NULL, arguments, environ) == 0);
  cr_assert(waitpid(child, &status, 0) == child);
  cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "protoc refuses %s", source);
  struct slice set = fixture_read_file(out);
  unlink(out);
  return set;
}

// Whether the text names something of the import at this place, and no import before it is the same file.
static bool is_imported(const char *text, size_t place)
{
  for (size_t i = 0; i < place; i++)
    if (strcmp(IMPORTS[i][1], IMPORTS[place][1]) == 0 && strstr(text, IMPORTS[i][0]) != NULL)
      return false;
  return strstr(text, IMPORTS[place][0]) != NULL;
}

struct slice fixture_compile(const char *text)
{
  char folder[] = "/tmp/bulkhead-contract-XXXXXX";
  cr_assert(mkdtemp(folder) != NULL);
  char *path = arena_printf(&memory, "%s/t.proto", folder);
  FILE *file = fopen(path, "w");
  cr_assert(file != NULL);
  fputs(HEAD, file);
  for (size_t i = 0; i < ARRAY_LEN(IMPORTS); i++)
    if (is_imported(text, i))
      fprintf(file, "import \"%s\";\n", IMPORTS[i][1]);
  fputs(text, file);
  fclose(file);
  struct slice set = fixture_compile_file(folder, "t.proto");
  unlink(path);
  rmdir(folder);
  return set;
}

static void free_contract(void *contract)
{
  struct contract *gone = contract;
  contract_free(&gone);
}

const struct contract *fixture_load(struct slice set)
{
  struct contract *contract;
  struct diagnostics diagnostics;
  diagnostics_init(&diagnostics);
  enum status status = contract_load(set, &contract, &diagnostics);
  struct strbuf *text = new_buffer();
  diagnostics_write(&diagnostics, text);
  cr_assert(status == STATUS_OK, "%s", strbuf_cstring(text));
  diagnostics_free(&diagnostics);
  // The arena owns the contract, so that a leak checker finds it within reach.
  arena_on_free(&memory, free_contract, contract);
  return contract;
}

const struct contract *fixture_contract(const char *text)
{
  // The arena keeps the pointer within reach, so that a leak checker sees its owner.
  const struct contract **kept = arena_alloc(&memory, sizeof(*kept));
  *kept = fixture_load(fixture_compile(text));
  return *kept;
}

const char *fixture_mistakes(const char *text)
{
  struct contract *contract;
  struct diagnostics diagnostics;
  struct strbuf *mistakes = new_buffer();
  diagnostics_init(&diagnostics);
  enum status status = contract_load(fixture_compile(text), &contract, &diagnostics);
  diagnostics_write(&diagnostics, mistakes);
  cr_assert_eq(status == STATUS_OK, mistakes->size == 0);
  diagnostics_free(&diagnostics);
  contract_free(&contract);
  return strbuf_cstring(mistakes);
}

const char *fixture_mistake_of(const char *mistakes, const char *element)
{
  const char *found = strstr(mistakes, arena_printf(&memory, " %s: ", element));
  return found == NULL ? NULL : arena_string(&memory, slice_make(found, strcspn(found, "\n")));
}

const struct contract *fixture_bulkhead(void)
{
  static const struct contract *contract;
  if (contract == NULL) {
    const char *path = getenv("BULKHEAD_PROTOSET");
    cr_assert(path != NULL, "BULKHEAD_PROTOSET must name bulkhead.protoset");
    contract = fixture_load(fixture_read_file(path));
  }
  return contract;
}

const struct contract *fixture_test(void)
{
  static const struct contract *contract;
  if (contract == NULL)
    contract = fixture_load(fixture_compile_file("tests/support/contract", "test.proto"));
  return contract;
}

const struct contract_message *fixture_message(const char *full_name)
{
  const struct contract *contract = strncmp(full_name, "t.v1.", 5) == 0 || strncmp(full_name, "google.", 7) == 0
                                        ? fixture_test()
                                        : fixture_bulkhead();
  const struct contract_message *message = contract_message_by_name(contract, slice_from_string(full_name));
  cr_assert(message != NULL, "%s is not in the contract", full_name);
  return message;
}

static const char *list_violations(const struct violations *violations)
{
  const char *text = "";
  for (size_t i = 0; i < violations->count; i++)
    text = arena_printf(&memory, "%s%s" SLICE_FMT ": " SLICE_FMT, text, i == 0 ? "" : "\n",
                        SLICE_ARG(violations->items[i].field), SLICE_ARG(violations->items[i].description));
  return text;
}

void fixture_expect_same_pieces(const struct contract_message *message, struct slice wire, const char *json)
{
  struct strbuf *pieces_json = new_buffer();
  struct transcode_pieces *pieces =
      transcode_pieces_begin(&(struct transcode_body){.message = message, .wire = wire}, &memory, pieces_json);
  enum status status = STATUS_OK;
  bool is_done = false;
  size_t count = 0;
  for (; status == STATUS_OK && !is_done; count++)
    status = transcode_pieces_write(pieces, 1, &is_done);
  cr_assert(status != STATUS_OK || count <= pieces_json->size, "a piece without a byte");
  cr_assert_eq(status == STATUS_OK, json != NULL);
  cr_assert_str_eq(strbuf_cstring(pieces_json), json == NULL ? "" : json);
}

static struct outcome finish(const struct contract_message *message, enum status status, struct strbuf *wire,
                             const struct violations *violations)
{
  struct outcome outcome = {.status = status, .violations = list_violations(violations)};
  cr_assert((status == STATUS_OK) == (violations->count == 0));
  if (status != STATUS_OK)
    return outcome;
  struct strbuf *json = new_buffer();
  outcome.wire = strbuf_slice(wire);
  cr_assert(transcode_wire_to_json(message, outcome.wire, json) == STATUS_OK);
  outcome.json = strbuf_cstring(json);
  fixture_expect_same_pieces(message, outcome.wire, outcome.json);
  return outcome;
}

static struct slice find_header(void *arg, const char *name)
{
  const struct exchange *exchange = arg;
  return strcmp(name, "If-Match") == 0 ? slice_from_string(exchange->if_match) : (struct slice){0};
}

struct outcome fixture_request(const struct contract *contract, struct exchange exchange)
{
  struct contract_route route;
  cr_assert(contract_route(contract, slice_from_string(exchange.http_method), slice_from_string(exchange.path), &route,
                           NULL) == STATUS_OK,
            "%s %s has no route", exchange.http_method, exchange.path);
  struct transcode_request request = {.route = &route,
                                      .query = slice_from_string(exchange.query),
                                      .body = slice_from_string(exchange.body),
                                      .merge_patch = exchange.merge_patch,
                                      .header = find_header,
                                      .header_arg = &exchange};
  struct strbuf *wire = new_buffer();
  struct violations violations;
  violations_init(&violations, &memory);
  enum status status = transcode_request_to_wire(&request, &memory, wire, &violations);
  return finish(route.binding->method->input, status, wire, &violations);
}

struct outcome fixture_json_request(const struct contract_method *method, struct exchange exchange)
{
  const struct transcode_json_request request = {
      .method = method, .json = slice_from_string(exchange.body), .header = find_header, .header_arg = &exchange};
  struct strbuf *wire = new_buffer();
  struct violations violations;
  violations_init(&violations, &memory);
  enum status status = transcode_request_from_json(&request, &memory, wire, &violations);
  return finish(method->input, status, wire, &violations);
}

void fixture_expect_json(const struct contract *contract, struct exchange exchange, const char *json)
{
  struct outcome outcome = fixture_request(contract, exchange);
  cr_assert(outcome.status == STATUS_OK, "%s", outcome.violations);
  cr_expect_str_eq(outcome.json, json);
}

void fixture_expect_violations(const struct contract *contract, struct exchange exchange, const char *violations)
{
  struct outcome outcome = fixture_request(contract, exchange);
  cr_assert(outcome.status == STATUS_INVALID_ARGUMENT, "accepted as %s", outcome.json);
  cr_expect_str_eq(outcome.violations, violations);
}

struct outcome fixture_round_trip(const struct contract_message *message, const char *json)
{
  struct strbuf *wire = new_buffer();
  struct violations violations;
  violations_init(&violations, &memory);
  enum status status = json_body_to_wire(message, slice_from_string(json), &memory, wire, &violations);
  return finish(message, status, wire, &violations);
}
