// For tests of contracts and their translation: contracts compiled by protoc while the test runs, and requests with
// less ceremony.
#ifndef BULKHEAD_TESTS_SUPPORT_CONTRACT_FIXTURE_H
#define BULKHEAD_TESTS_SUPPORT_CONTRACT_FIXTURE_H

#include "common/base/arena.h"
#include "common/base/strbuf.h"
#include "common/contract/contract.h"
#include "common/transcode/transcode.h"

// Compiles a text to a descriptor set, in memory that lives as long as the test; the head (syntax, package t.v1,
// imports) is put in front of the text.
struct slice fixture_compile(const char *text);
struct slice fixture_read_file(const char *path);
// Loads the contract of a text, as fixture_compile takes it; aborts when it does not load.
const struct contract *fixture_contract(const char *text);
// Returns what is said against the contract of a text, a line each; "" where it loads.
const char *fixture_mistakes(const char *text);
// Returns the first of these mistakes that is about the element, such as "t.v1.M.name"; NULL where there is none.
const char *fixture_mistake_of(const char *mistakes, const char *element);

// Loads the contract of a set; aborts when the set has mistakes.
const struct contract *fixture_load(struct slice set);
// fixture_bulkhead loads the real contracts (BULKHEAD_PROTOSET), fixture_test those of
// tests/support/contract/test.proto. Both abort when they do not load.
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
  bool merge_patch;
};
struct outcome {
  enum status status;
  const char *json;        // the request message as JSON; NULL when the request was refused
  const char *violations;  // "field: description" lines
  struct slice wire;
};
struct outcome fixture_request(const struct contract *contract, struct exchange exchange);
// Expects that a request becomes a message with this JSON.
void fixture_expect_json(const struct contract *contract, struct exchange exchange, const char *json);
// Expects that a request is refused with these "field: description" lines.
void fixture_expect_violations(const struct contract *contract, struct exchange exchange, const char *violations);
// Does the same for a message that comes as one object, without a route: body and If-Match count.
struct outcome fixture_json_request(const struct contract_method *method, struct exchange exchange);
// Translates JSON to wire bytes and back to JSON.
struct outcome fixture_round_trip(const struct contract_message *message, const char *json);
// Expects that translation in the smallest pieces makes the same JSON; NULL: that it fails and leaves nothing.
void fixture_expect_same_pieces(const struct contract_message *message, struct slice wire, const char *json);

#endif
