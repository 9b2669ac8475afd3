// The OpenAPI document: well formed, every reference leads somewhere, and what the contract says is in it.
#include <criterion/criterion.h>

#include "common/base/jsontext_reader.h"
#include "common/openapi/openapi.h"
#include "tests/support/contract/fixture.h"

static struct arena arena;
static struct strbuf document;

static struct slice write_document(const struct contract *contract)
{
  static const struct openapi_info INFO = {.title = "Test", .version = "1", .description = "A *test*."};
  strbuf_clear(&document);
  openapi_write(contract, &INFO, &document);
  return strbuf_slice(&document);
}

// The text of the value at a path of keys, ended by NULL; asserts that it is there.
static struct slice find_value(struct slice json, const char *const *keys)
{
  for (; *keys != NULL; keys++) {
    struct jsontext_reader reader;
    jsontext_reader_init(&reader, json, JSONTEXT_MAX_DEPTH, &arena);
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

#define VALUE(document, ...) find_value(document, (const char *const[]){__VA_ARGS__, NULL})
#define EXPECT_VALUE(expected, document, ...)                                                                          \
  do {                                                                                                                 \
    struct slice value_ = VALUE(document, __VA_ARGS__);                                                                \
    cr_assert(slice_equal(value_, SLICE(expected)), SLICE_FMT, SLICE_ARG(value_));                                     \
  } while (0)

// Walks everything: no key twice in an object, every $ref resolves, every operationId is new.
static void check_document(struct slice json)
{
  struct jsontext_reader reader;
  struct slice open_keys[JSONTEXT_MAX_DEPTH][256];
  size_t counts[JSONTEXT_MAX_DEPTH + 1] = {0};
  struct slice ids[256];
  size_t id_count = 0;
  jsontext_reader_init(&reader, json, JSONTEXT_MAX_DEPTH, &arena);
  for (enum jsontext_token token = jsontext_read(&reader); token != JSONTEXT_END; token = jsontext_read(&reader)) {
    cr_assert(token != JSONTEXT_ERROR, "%s at %zu", reader.error, reader.error_offset);
    if (token == JSONTEXT_OBJECT_BEGIN)
      counts[reader.depth] = 0;
    if (token != JSONTEXT_KEY)
      continue;
    struct slice key = reader.text;
    size_t *count = &counts[reader.depth];
    for (size_t i = 0; i < *count; i++)
      cr_assert(!slice_equal(open_keys[reader.depth - 1][i], key), "the key " SLICE_FMT " twice", SLICE_ARG(key));
    cr_assert(*count < 256);
    open_keys[reader.depth - 1][(*count)++] = key;
    if (slice_equal(key, SLICE("$ref"))) {
      cr_assert(jsontext_read(&reader) == JSONTEXT_STRING);
      static const struct slice START = SLICE_INIT("#/components/");
      cr_assert(slice_starts_with(reader.text, START));
      struct slice rest = slice_skip(reader.text, START.size);
      size_t slash = slice_find(rest, '/', 0);
      VALUE(json, "components", arena_string(&arena, slice_make(rest.data, slash)),
            arena_string(&arena, slice_skip(rest, slash + 1)));
    } else if (slice_equal(key, SLICE("operationId"))) {
      cr_assert(jsontext_read(&reader) == JSONTEXT_STRING);
      for (size_t i = 0; i < id_count; i++)
        cr_assert(!slice_equal(ids[i], reader.text), SLICE_FMT " twice", SLICE_ARG(reader.text));
      ids[id_count++] = reader.text;
    }
  }
  cr_assert(id_count > 0);
}

Test(openapi, documents_are_whole)
{
  check_document(write_document(fixture_bulkhead()));
  check_document(write_document(fixture_test()));
}

Test(openapi, operations_of_the_real_contracts)
{
  struct slice json = write_document(fixture_bulkhead());
  EXPECT_VALUE("\"3.1.0\"", json, "openapi");
  EXPECT_VALUE("\"ItemService_GetItem\"", json, "paths", "/v1/items/{id}", "get", "operationId");
  EXPECT_VALUE("\"One item\"", json, "paths", "/v1/items/{id}", "get", "summary");
  EXPECT_VALUE("[{\"bearer\":[]}]", json, "paths", "/v1/items/{id}", "get", "security");
  EXPECT_VALUE("[{\"bearer\":[\"admin\"]}]", json, "paths", "/v1/users", "get", "security");
  EXPECT_VALUE("[]", json, "paths", "/v1/auth/login", "post", "security");
  // {item.id} and {id} are one path, whose parameter has the first one's name.
  EXPECT_VALUE("\"ItemService_UpdateItem\"", json, "paths", "/v1/items/{id}", "patch", "operationId");
  struct slice parameters = VALUE(json, "paths", "/v1/items/{id}", "patch", "parameters");
  cr_assert(slice_starts_with(parameters, SLICE("[{\"name\":\"id\",\"in\":\"path\",\"required\":true,")));
  cr_assert(memmem(parameters.data, parameters.size, "\"If-Match\"", 10) != NULL);
  EXPECT_VALUE("\"#/components/schemas/item.v1.Item\"", json, "paths", "/v1/items", "post", "requestBody", "content",
               "application/json", "schema", "$ref");
  VALUE(json, "paths", "/v1/items", "post", "responses", "201", "headers", "Location");
  VALUE(json, "paths", "/v1/items", "post", "responses", "201", "headers", "ETag");
  EXPECT_VALUE("\"#/components/responses/Problem\"", json, "paths", "/v1/items", "post", "responses", "default",
               "$ref");
  VALUE(json, "paths", "/v1/items/{id}", "delete", "responses", "204", "description");
  VALUE(json, "paths", "/v1/items:batchCreate", "post");
}

Test(openapi, schemas_hold_the_rules)
{
  struct slice json = write_document(fixture_bulkhead());
  const char *item = "item.v1.Item";
  EXPECT_VALUE("{\"type\":\"integer\",\"format\":\"int32\",\"minimum\":0,\"examples\":[12]}", json, "components",
               "schemas", item, "properties", "quantity");
  EXPECT_VALUE("{\"type\":\"string\",\"format\":\"date-time\",\"readOnly\":true}", json, "components", "schemas", item,
               "properties", "createTime");
  EXPECT_VALUE("[{\"colour\": \"brass\"}]", json, "components", "schemas", item, "properties", "attributes",
               "examples");
  EXPECT_VALUE("64", json, "components", "schemas", item, "properties", "tags", "maxItems");
  EXPECT_VALUE("64", json, "components", "schemas", item, "properties", "tags", "items", "maxLength");
  EXPECT_VALUE("\"email\"", json, "components", "schemas", "auth.v1.LoginRequest", "properties", "email", "format");
  EXPECT_VALUE("true", json, "components", "schemas", "auth.v1.LoginRequest", "properties", "password", "writeOnly");
  EXPECT_VALUE("[\"email\",\"password\"]", json, "components", "schemas", "auth.v1.LoginRequest", "required");
}

Test(openapi, unusual_contracts)
{
  struct slice json = write_document(fixture_test());
  EXPECT_VALUE("\"TestService_QueryAll_2\"", json, "paths", "/v1/{name}:read", "get", "operationId");
  EXPECT_VALUE("\"TestService_QueryAll_4\"", json, "paths", "/v1/shelves/{segment3}/{name}", "get", "operationId");
  struct slice parameters = VALUE(json, "paths", "/v1/query", "get", "parameters");
  cr_assert(memmem(parameters.data, parameters.size, "\"nested.deep.number\"", 20) != NULL);
  cr_assert(memmem(parameters.data, parameters.size, "hidden", 6) == NULL);
  EXPECT_VALUE("\"Everything at once. And a second sentence.\"",
               slice_skip(slice_make(VALUE(json, "tags").data, VALUE(json, "tags").size - 1), 1), "description");
  EXPECT_VALUE("{\"type\":\"object\",\"additionalProperties\":{\"type\":\"integer\",\"format\":\"int32\"}}", json,
               "components", "schemas", "t.v1.All", "properties", "counts");
  EXPECT_VALUE("[\"COLOUR_UNSPECIFIED\",\"COLOUR_BLUE\",\"COLOUR_RED\",\"COLOUR_DARK\"]", json, "components", "schemas",
               "t.v1.Colour", "enum");
}
