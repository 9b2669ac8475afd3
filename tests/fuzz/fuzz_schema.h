// For the fuzzers of common/schema: the real contracts, loaded once from BULKHEAD_PROTOSET.
#ifndef BULKHEAD_TESTS_FUZZ_SCHEMA_H
#define BULKHEAD_TESTS_FUZZ_SCHEMA_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/strbuf.h"
#include "common/schema/schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline struct slice fuzz_read_protoset(struct strbuf *content)
{
  const char *path = getenv("BULKHEAD_PROTOSET");
  FILE *file = path == NULL ? NULL : fopen(path, "rb");
  if (file == NULL) {
    fputs("BULKHEAD_PROTOSET must name bulkhead.protoset\n", stderr);
    exit(1);
  }
  char part[65536];
  size_t size;
  while ((size = fread(part, 1, sizeof(part), file)) > 0)
    strbuf_add(content, slice_make(part, size));
  fclose(file);
  return strbuf_slice(content);
}

static inline const struct schema *fuzz_schema(void)
{
  static struct schema *schema;
  if (schema == NULL) {
    struct strbuf content;
    struct error error;
    strbuf_init(&content, 0);
    CHECK(schema_load(fuzz_read_protoset(&content), &schema, &error) == STATUS_OK);
    strbuf_free(&content);
  }
  return schema;
}

static inline const struct schema_message *fuzz_message(const char *full_name)
{
  const struct schema_message *message = schema_message_by_name(fuzz_schema(), slice_from_string(full_name));
  CHECK(message != NULL);
  return message;
}

#endif
