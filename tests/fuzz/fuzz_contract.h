// For the fuzzers of common/contract: the real contracts, loaded once from BULKHEAD_PROTOSET, and open.proto from
// FUZZ_OPEN_SET.
#ifndef BULKHEAD_TESTS_FUZZ_SCHEMA_H
#define BULKHEAD_TESTS_FUZZ_SCHEMA_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/strbuf.h"
#include "common/contract/contract.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline struct slice fuzz_read_set(const char *variable, struct strbuf *content)
{
  const char *path = getenv(variable);
  if (path == NULL || !strbuf_read_file(content, path)) {
    fprintf(stderr, "%s must name a descriptor set; tests/fuzz/run sets it\n", variable);
    exit(1);
  }
  return strbuf_slice(content);
}

static inline struct slice fuzz_read_protoset(struct strbuf *content)
{
  return fuzz_read_set("BULKHEAD_PROTOSET", content);
}

static inline struct contract *fuzz_load_set(const char *variable)
{
  struct contract *contract;
  struct strbuf content;
  struct diagnostics diagnostics;
  strbuf_init(&content, 0);
  diagnostics_init(&diagnostics);
  CHECK(contract_load(fuzz_read_set(variable, &content), &contract, &diagnostics) == STATUS_OK);
  diagnostics_free(&diagnostics);
  strbuf_free(&content);
  return contract;
}

static inline const struct contract *fuzz_contract(void)
{
  static struct contract *contract;
  if (contract == NULL)
    contract = fuzz_load_set("BULKHEAD_PROTOSET");
  return contract;
}

static inline const struct contract *fuzz_open_contract(void)
{
  static struct contract *contract;
  if (contract == NULL)
    contract = fuzz_load_set("FUZZ_OPEN_SET");
  return contract;
}

static inline const struct contract_message *fuzz_open_message(void)
{
  const struct contract_message *message = contract_message_by_name(fuzz_open_contract(), SLICE("fuzz.v1.Open"));
  CHECK(message != NULL);
  return message;
}

static inline const struct contract_message *fuzz_message(const char *full_name)
{
  const struct contract_message *message = contract_message_by_name(fuzz_contract(), slice_from_string(full_name));
  CHECK(message != NULL);
  return message;
}

#endif
