#define _GNU_SOURCE 1
#include "tests/unit/openapi/document.h"

#include <criterion/criterion.h>

#include "common/base/jsontext_reader.h"
#include "common/base/jsontext_writer.h"
#include "common/openapi/openapi.h"

struct arena document_arena;
static struct strbuf document;

static void write_problem(const struct openapi_problem *problem, struct slice path, struct strbuf *out)
{
  struct jsontext_writer json;
  jsontext_writer_init(&json, out);
  jsontext_begin_object(&json);
  jsontext_key_int(&json, "status", problem->http_status);
  jsontext_key_string(&json, "instance", path);
  jsontext_key_string(&json, "reason", slice_from_string(problem->reason));
  jsontext_end_object(&json);
}

static const char *title_of(int http_status)
{
  return http_status == 404 ? "Not Found" : "Other";
}

static const struct openapi_problem PROBLEMS[] = {
    {OPENAPI_ALWAYS, "Bad", "Bad.", 400, STATUS_INVALID_ARGUMENT, "BAD", NULL, NULL, NULL},
    {OPENAPI_NEEDS_TOKEN, "Token", "No token.", 401, STATUS_UNAUTHENTICATED, "NO_TOKEN", NULL, NULL, NULL},
    {OPENAPI_NEEDS_ROLE, "Role", "No role.", 403, STATUS_PERMISSION_DENIED, "NO_ROLE", NULL, NULL, NULL},
    {OPENAPI_NEEDS_PERMISSION, "Right", "No right.", 403, STATUS_PERMISSION_DENIED, "NO_RIGHT", NULL, NULL, NULL},
    {OPENAPI_NAMES_RESOURCE, "Missing", "Missing.", 404, STATUS_NOT_FOUND, NULL, NULL, NULL, NULL},
    {OPENAPI_TAKES_IF_MATCH, "Stale", "Stale.", 412, STATUS_ABORTED, "STALE", NULL, NULL, NULL},
    {OPENAPI_TAKES_KEY, "Reused", "Reused.", 422, STATUS_FAILED_PRECONDITION, "REUSED", NULL, NULL, NULL},
    {OPENAPI_KEEPS_NO_REPLY, "Secret", "Secret.", 409, STATUS_ALREADY_EXISTS, "SECRET", NULL, NULL, NULL},
    {OPENAPI_TAKES_BODY, "Large", "Large.", 413, STATUS_INVALID_ARGUMENT, NULL, NULL, NULL, NULL},
    {OPENAPI_SENDS_STREAM, "Form", "No form.", 406, STATUS_INVALID_ARGUMENT, NULL, NULL, NULL, NULL},
    {OPENAPI_NOT_DOCUMENTED, "Problem", "Any other.", 500, STATUS_INTERNAL, NULL, NULL, NULL, NULL},
};

struct slice write_document(const struct contract *contract)
{
  static const struct openapi_options OPTIONS = {.version = "1",
                                                 .problems = PROBLEMS,
                                                 .problem_count = ARRAY_LEN(PROBLEMS),
                                                 .write_problem = write_problem,
                                                 .status_title = title_of};
  strbuf_clear(&document);
  openapi_write(contract, &OPTIONS, &document);
  return strbuf_slice(&document);
}

struct slice find_value(struct slice json, const char *const *keys)
{
  for (; *keys != NULL; keys++) {
    struct jsontext_reader reader;
    jsontext_reader_init(&reader, json, JSONTEXT_MAX_DEPTH, &document_arena);
    cr_assert(jsontext_read(&reader) == JSONTEXT_OBJECT_BEGIN, "no object to look for %s in", *keys);
    bool found = false;
    while (!found) {
      cr_assert(jsontext_read(&reader) == JSONTEXT_KEY, "%s is not there", *keys);
      found = slice_equal_string(reader.text, *keys);
      cr_assert(jsontext_skip_value(&reader, &json));
    }
  }
  return json;
}

bool holds(struct slice text, const char *part)
{
  return memmem(text.data, text.size, part, strlen(part)) != NULL;
}

const struct contract *load_contract(const char *text)
{
  return fixture_load(fixture_compile(text));
}
