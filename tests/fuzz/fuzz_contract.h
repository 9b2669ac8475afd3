// For the fuzzers of common/contract: the real contracts, loaded once from BULKHEAD_PROTOSET.
#ifndef BULKHEAD_TESTS_FUZZ_SCHEMA_H
#define BULKHEAD_TESTS_FUZZ_SCHEMA_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/strbuf.h"
#include "common/contract/contract.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline struct slice fuzz_read_protoset(struct strbuf *content)
{
  const char *path = getenv("BULKHEAD_PROTOSET");
  if (path == NULL || !strbuf_read_file(content, path)) {
    fputs("BULKHEAD_PROTOSET must name bulkhead.protoset\n", stderr);
    exit(1);
  }
  return strbuf_slice(content);
}

static inline const struct contract *fuzz_contract(void)
{
  static struct contract *contract;
  if (contract == NULL) {
    struct strbuf content;
    struct diagnostics diagnostics;
    strbuf_init(&content, 0);
    diagnostics_init(&diagnostics);
    CHECK(contract_load(fuzz_read_protoset(&content), &contract, &diagnostics) == STATUS_OK);
    diagnostics_free(&diagnostics);
    strbuf_free(&content);
  }
  return contract;
}

static inline const struct contract_message *fuzz_message(const char *full_name)
{
  const struct contract_message *message = contract_message_by_name(fuzz_contract(), slice_from_string(full_name));
  CHECK(message != NULL);
  return message;
}

#endif
