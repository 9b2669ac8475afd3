// Which statuses an operation documents, and with which examples.
#include <criterion/criterion.h>

#include "tests/unit/openapi/document.h"

static const char CONTRACT[] =
    "service S {\n"
    "  // Reads a thing. And more.\n"
    "  rpc Get(Id) returns (Thing) {\n"
    "    option (google.api.http) = {get: \"/things/{id}\"};\n"
    "    option (bulkhead.v1.method) = {access: ACCESS_AUTHENTICATED};\n"
    "  }\n"
    "  // Removes a thing; its parts go, too.\n"
    "  rpc Remove(Id) returns (google.protobuf.Empty) {\n"
    "    option (google.api.http) = {delete: \"/things/{id}\"};\n"
    "    option (bulkhead.v1.method) = {\n"
    "      access: ACCESS_ROLE roles: \"admin\"\n"
    "      errors: {code: CODE_NOT_FOUND reason: \"THING_NOT_FOUND\" detail: \"there is no thing\"}\n"
    "      errors: {code: CODE_NOT_FOUND reason: \"PART_NOT_FOUND\"}\n"
    "      errors: {code: CODE_UNAUTHENTICATED reason: \"TOO_OLD\"}\n"
    "    };\n"
    "  }\n"
    "  rpc Ping(Nothing) returns (Nothing) {\n"
    "    option (google.api.http) = {post: \"/ping\" body: \"*\"};\n"
    "    option (bulkhead.v1.method) = {access: ACCESS_PUBLIC};\n"
    "  }\n"
    "}\n"
    "message Id {\n"
    "  string id = 1;\n"
    "  string if_match = 2 [(bulkhead.v1.field) = {from_header: \"If-Match\"}];\n"
    "}\n"
    "message Thing { string etag = 1 [(bulkhead.v1.field) = {to_header: \"ETag\"}]; }\n"
    "message Nothing {}\n";

static void expect_statuses(struct slice json, const char *path, const char *method, const char *const *wanted,
                            const char *const *unwanted)
{
  struct slice responses = VALUE(json, "paths", path, method, "responses");
  for (; *wanted != NULL; wanted++)
    cr_assert(holds(responses, arena_printf(&document_arena, "\"%s\":{", *wanted)), "%s %s lacks %s", method, path,
              *wanted);
  for (; *unwanted != NULL; unwanted++)
    cr_assert_not(holds(responses, arena_printf(&document_arena, "\"%s\":{", *unwanted)), "%s %s has %s", method, path,
                  *unwanted);
}
#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

Test(responses, are_those_that_the_method_can_answer_with)
{
  struct slice json = write_document(load_contract(CONTRACT));
  expect_statuses(json, "/things/{id}", "get", LIST("200", "304", "400", "401", "404", "412", "default"),
                  LIST("403", "413", "500"));
  expect_statuses(json, "/things/{id}", "delete", LIST("204", "400", "401", "403", "404", "412"),
                  LIST("200", "304", "413"));
  expect_statuses(json, "/ping", "post", LIST("200", "400", "413"), LIST("401", "403", "404", "412"));
}

Test(responses, streams_are_documented_in_each_form)
{
  struct slice json =
      write_document(load_contract("service S {\n"
                                   "  rpc Watch(Nothing) returns (stream Thing) {\n"
                                   "    option (google.api.http) = {get: \"/things:watch\"};\n"
                                   "    option (bulkhead.v1.method) = {access: ACCESS_PUBLIC};\n"
                                   "  }\n"
                                   "  rpc Send(stream Thing) returns (Nothing) {\n"
                                   "    option (google.api.http) = {post: \"/things:send\" body: \"*\"};\n"
                                   "    option (bulkhead.v1.method) = {access: ACCESS_PUBLIC max_body_bytes: 77};\n"
                                   "  }\n"
                                   "}\n"
                                   "message Thing { string text = 1; }\n"
                                   "message Nothing {}\n"));
  struct slice content = VALUE(json, "paths", "/things:watch", "get", "responses", "200", "content");
  cr_expect(holds(content, "\"application/x-ndjson\"") && holds(content, "\"text/event-stream\"") &&
            holds(content, "\"application/json\":{\"schema\":{\"type\":\"array\""));
  expect_statuses(json, "/things:watch", "get", LIST("200", "406"), LIST("413"));
  struct slice body = VALUE(json, "paths", "/things:send", "post", "requestBody");
  cr_expect(holds(body, "\"application/x-ndjson\"") && !holds(body, "\"application/json\""));
  cr_expect(holds(body, "each of them a message of 77 bytes"));
}

// ---- headers of every request ----

Test(responses, the_clients_time_limit_is_documented_with_that_of_the_method)
{
  struct slice json =
      write_document(load_contract("service S {\n"
                                   "  rpc Get(In) returns (Out) {\n"
                                   "    option (google.api.http) = {get: \"/x\"};\n"
                                   "    option (bulkhead.v1.method) = {access: ACCESS_PUBLIC timeout_ms: 7500};\n"
                                   "  }\n"
                                   "}\n"
                                   "message In {}\n"
                                   "message Out {}\n"));
  struct slice parameters = VALUE(json, "paths", "/x", "get", "parameters");
  cr_expect(holds(parameters, "\"Request-Timeout\""));
  cr_expect(holds(parameters, "at most 7.500 here"), SLICE_FMT, SLICE_ARG(parameters));
}

// ---- Idempotency-Key ----

static const char KEYS[] = "service S {\n"
                           "  rpc Create(In) returns (Out) {\n"
                           "    option (google.api.http) = {post: \"/create\" body: \"*\"};\n"
                           "    option (bulkhead.v1.method) = {access: ACCESS_PUBLIC};\n"
                           "  }\n"
                           "  rpc Login(In) returns (Out) {\n"
                           "    option (google.api.http) = {post: \"/login\" body: \"*\"};\n"
                           "    option (bulkhead.v1.method) = {access: ACCESS_PUBLIC secret_reply: true};\n"
                           "  }\n"
                           "  rpc Logout(In) returns (Out) {\n"
                           "    option (google.api.http) = {post: \"/logout\" body: \"*\"};\n"
                           "    option (bulkhead.v1.method) = {access: ACCESS_PUBLIC};\n"
                           "    option idempotency_level = IDEMPOTENT;\n"
                           "  }\n"
                           "  rpc Change(In) returns (Out) {\n"
                           "    option (google.api.http) = {patch: \"/change\" body: \"*\"};\n"
                           "    option (bulkhead.v1.method) = {access: ACCESS_PUBLIC};\n"
                           "  }\n"
                           "}\n"
                           "message In {}\n"
                           "message Out {}\n";

static bool documents_key(struct slice json, const char *path, const char *method)
{
  return holds(VALUE(json, "paths", path, method, "parameters"), "\"Idempotency-Key\"");
}

Test(responses, the_idempotency_key_is_documented_where_it_has_an_effect)
{
  struct slice json = write_document(load_contract(KEYS));
  cr_expect(documents_key(json, "/create", "post"));
  cr_expect(documents_key(json, "/login", "post"));
  cr_expect_not(documents_key(json, "/logout", "post"));
  cr_expect_not(documents_key(json, "/change", "patch"));
  expect_statuses(json, "/create", "post", LIST("200", "422"), LIST("409"));
  expect_statuses(json, "/login", "post", LIST("200", "409", "422"), LIST("401"));
  expect_statuses(json, "/logout", "post", LIST("200"), LIST("409", "422"));
  expect_statuses(json, "/change", "patch", LIST("200"), LIST("409", "422"));
}

Test(responses, what_many_operations_share_is_a_reference)
{
  struct slice json = write_document(load_contract(CONTRACT));
  EXPECT_VALUE("\"#/components/responses/Token\"", json, "paths", "/things/{id}", "get", "responses", "401", "$ref");
  EXPECT_VALUE("\"#/components/responses/Missing\"", json, "paths", "/things/{id}", "get", "responses", "404", "$ref");
  EXPECT_VALUE("{\"status\":401,\"instance\":\"/things/id\",\"reason\":\"NO_TOKEN\"}", json, "components", "responses",
               "Token", "content", "application/problem+json", "examples", "NO_TOKEN", "value");
  cr_assert_not(holds(VALUE(json, "components", "responses"), "\"Unused\""));
}

Test(responses, declared_errors_are_shown_with_their_reason)
{
  struct slice json = write_document(load_contract(CONTRACT));
  struct slice missing = VALUE(json, "paths", "/things/{id}", "delete", "responses", "404");
  EXPECT_VALUE("\"Not Found: `THING_NOT_FOUND`, `PART_NOT_FOUND`.\"", missing, "description");
  EXPECT_VALUE("\"THING_NOT_FOUND\"", missing, "content", "application/problem+json", "examples", "THING_NOT_FOUND",
               "value", "reason");
  // The method's own error stands beside the gateway's with the same status.
  struct slice token = VALUE(json, "paths", "/things/{id}", "delete", "responses", "401", "content",
                             "application/problem+json", "examples");
  VALUE(token, "TOO_OLD");
  VALUE(token, "NO_TOKEN");
}

static const char OWN_REASON[] = "service S {\n"
                                 "  rpc Look(In) returns (In) {\n"
                                 "    option (google.api.http) = {get: \"/look\"};\n"
                                 "    option (bulkhead.v1.method) = {\n"
                                 "      access: ACCESS_AUTHENTICATED\n"
                                 "      errors: {code: CODE_UNAUTHENTICATED reason: \"NO_TOKEN\" detail: \"its own\"}\n"
                                 "    };\n"
                                 "  }\n"
                                 "}\n"
                                 "message In {}\n";

Test(responses, a_method_may_say_itself_what_a_general_reason_means)
{
  struct slice json = write_document(load_contract(OWN_REASON));
  struct slice refused = VALUE(json, "paths", "/look", "get", "responses", "401");
  EXPECT_VALUE("\"Other: `NO_TOKEN`.\"", refused, "description");
  struct slice examples = VALUE(refused, "content", "application/problem+json", "examples");
  VALUE(examples, "NO_TOKEN");
  struct slice behind = slice_skip(examples, sizeof("{\"NO_TOKEN\":") - 1);
  cr_assert_not(holds(behind, "\"NO_TOKEN\":"), "the name comes twice: " SLICE_FMT, SLICE_ARG(examples));
}

Test(responses, success_says_what_happened)
{
  struct slice json = write_document(load_contract(CONTRACT));
  EXPECT_VALUE("\"Removes a thing; its parts go, too.\"", json, "paths", "/things/{id}", "delete", "responses", "204",
               "description");
  EXPECT_VALUE("\"Reads a thing.\"", json, "paths", "/things/{id}", "get", "responses", "200", "description");
  EXPECT_VALUE("\"Success.\"", json, "paths", "/ping", "post", "responses", "200", "description");
}

Test(responses, a_get_with_an_etag_heeds_if_none_match)
{
  struct slice json = write_document(load_contract(CONTRACT));
  cr_assert(holds(VALUE(json, "paths", "/things/{id}", "get", "parameters"), "\"If-None-Match\""));
  cr_assert_not(holds(VALUE(json, "paths", "/things/{id}", "delete", "parameters"), "\"If-None-Match\""));
}
