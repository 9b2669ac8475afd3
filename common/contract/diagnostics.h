// Diagnostics: what is wrong with a set of contracts, collected while it is read. protoc-gen-bulkhead and the gateway
// print them in the same words. At most DIAGNOSTICS_MAX are kept; the rest is only counted.
#ifndef BULKHEAD_CONTRACT_DIAGNOSTICS_H
#define BULKHEAD_CONTRACT_DIAGNOSTICS_H

#include <stddef.h>

#include "common/base/arena.h"
#include "common/base/compiler.h"
#include "common/base/strbuf.h"

#define DIAGNOSTICS_MAX 100

// A position in a .proto file. `line` 0 means that the descriptors came without source info.
struct source_place {
  const char *file;  // "item/v1/item.proto"; "" for the set as a whole
  unsigned line;     // counted from 1; 0 when unknown
  unsigned column;
};

struct diagnostic {
  struct source_place place;
  const char *element;  // "item.v1.Item.sku", or ""
  const char *text;     // "what is wrong; what to write instead"
};

struct diagnostics {
  struct arena arena;  // holds every text
  struct diagnostic items[DIAGNOSTICS_MAX];
  size_t count;
  size_t more;  // how many were counted but not kept
};

void diagnostics_init(struct diagnostics *diagnostics);
void diagnostics_free(struct diagnostics *diagnostics);

// Adds a diagnostic; place, element and text are copied. `element` may be NULL. Only counts it when DIAGNOSTICS_MAX are
// kept already.
void diagnostics_add(struct diagnostics *diagnostics, const struct source_place *place, const char *element,
                     const char *format, ...) PRINTF_LIKE(4, 5);

// Sorts diagnostics by file, line and column; those of one place keep their order.
void diagnostics_sort(struct diagnostics *diagnostics);

// Appends one diagnostic without a newline: "item/v1/item.proto:12:3: item.v1.Item.sku: what is wrong; what to write
// instead".
void diagnostic_write(const struct diagnostic *diagnostic, struct strbuf *out);

// Appends all diagnostics, one per line, the last without a newline, and how many more there are.
void diagnostics_write(const struct diagnostics *diagnostics, struct strbuf *out);

#endif
