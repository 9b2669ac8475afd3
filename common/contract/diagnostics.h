// What is wrong with a set of contracts, collected while it is read: protoc-gen-bulkhead and the gateway say the same
// in the same words. Bounded: after DIAGNOSTICS_MAX the rest is counted only.
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
  unsigned line;     // from 1
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
  size_t more;  // beyond the cap
};

void diagnostics_init(struct diagnostics *diagnostics);
void diagnostics_free(struct diagnostics *diagnostics);

// Everything is copied. `element` may be NULL.
void diagnostics_add(struct diagnostics *diagnostics, const struct source_place *place, const char *element,
                     const char *format, ...) PRINTF_LIKE(4, 5);

// Orders by file, line and column; diagnostics of one place keep their order.
void diagnostics_sort(struct diagnostics *diagnostics);

// "item/v1/item.proto:12:3: item.v1.Item.sku: what is wrong; what to write instead", without a newline.
void diagnostic_write(const struct diagnostic *diagnostic, struct strbuf *out);

// All of them, a line each, the last without a newline.
void diagnostics_write(const struct diagnostics *diagnostics, struct strbuf *out);

#endif
