// For the tests of this folder: contracts compiled by protoc while the test runs, and calls with less ceremony.
#ifndef BULKHEAD_TESTS_SUPPORT_CONTRACT_FIXTURE_H
#define BULKHEAD_TESTS_SUPPORT_CONTRACT_FIXTURE_H

#include "common/base/arena.h"
#include "common/base/strbuf.h"
#include "common/contract/contract.h"
#include "common/transcode/transcode.h"

// The descriptor set of a .proto file, in memory that lives as long as the test.
struct slice contract_compile_file(const char *folder, const char *name);
// The same of a text: the head (syntax, package t.v1, imports) is put in front of it.
struct slice fixture_compile(const char *text);
struct slice fixture_read_file(const char *path);
// The contract of such a text; aborts when it does not load.
const struct contract *fixture_contract(const char *text);

// The contract of a set that must be without mistakes.
const struct contract *fixture_load(struct slice set);
// The real contracts (BULKHEAD_PROTOSET), and tests/support/contract/test.proto. Both abort when they do not load.
const struct contract *fixture_bulkhead(void);
const struct contract *fixture_test(void);
const struct contract_message *fixture_message(const char *full_name);

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
struct outcome fixture_request(const struct contract *contract, struct exchange exchange);
// JSON to wire to JSON.
struct outcome fixture_round_trip(const struct contract_message *message, const char *json);

#endif
