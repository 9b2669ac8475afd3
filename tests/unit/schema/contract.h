// For the tests of this folder: contracts compiled by protoc while the test runs, and calls with less ceremony.
#ifndef BULKHEAD_TESTS_SCHEMA_CONTRACT_H
#define BULKHEAD_TESTS_SCHEMA_CONTRACT_H

#include "common/base/arena.h"
#include "common/base/strbuf.h"
#include "common/schema/schema.h"
#include "common/schema/transcode.h"

// The descriptor set of a .proto file, in memory that lives as long as the test.
struct slice contract_compile_file(const char *folder, const char *name);
// The same of a text: the head (syntax, package t.v1, imports) is put in front of it.
struct slice contract_compile(const char *text);
struct slice contract_read_file(const char *path);

// The real contracts (BULKHEAD_PROTOSET), and tests/unit/schema/test.proto. Both abort when they do not load.
const struct schema *contract_bulkhead(void);
const struct schema *contract_test(void);
const struct schema_message *contract_message(const char *full_name);

// One request as the gateway would make it. Everything lives as long as the test.
struct exchange {
  const char *http_method;
  const char *path;
  const char *query;
  const char *body;
  const char *if_match;
};
struct outcome {
  enum status status;
  const char *json;        // the request message that came of it, as JSON; NULL when it failed
  const char *violations;  // "field: description" lines
  struct slice wire;
};
struct outcome contract_request(const struct schema *schema, struct exchange exchange);
// JSON to wire to JSON.
struct outcome contract_round_trip(const struct schema_message *message, const char *json);

#endif
