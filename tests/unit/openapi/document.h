// Helpers of the tests of this folder: a contract's document, and values in it.
#ifndef BULKHEAD_TESTS_OPENAPI_DOCUMENT_H
#define BULKHEAD_TESTS_OPENAPI_DOCUMENT_H

#include "tests/support/contract/fixture.h"

extern struct arena document_arena;

// Writes the document of a contract, with a few problems that the gateway is said to answer with. Valid until the next
// call.
struct slice write_document(const struct contract *contract);
// Returns the text of the value at a path of keys, ended by NULL; asserts that it is there.
struct slice find_value(struct slice json, const char *const *keys);
// Whether `text` contains `part`.
bool holds(struct slice text, const char *part);
// Loads the contract of a text, as fixture_compile takes it.
const struct contract *load_contract(const char *text);

#define VALUE(document, ...) find_value(document, (const char *const[]){__VA_ARGS__, NULL})
#define EXPECT_VALUE(expected, document, ...)                                                                          \
  do {                                                                                                                 \
    struct slice value_ = VALUE(document, __VA_ARGS__);                                                                \
    cr_assert(slice_equal(value_, SLICE(expected)), SLICE_FMT, SLICE_ARG(value_));                                     \
  } while (0)

#endif
