// Writes C from a contract.
//
// The texts of one file go into <stem>.bh.h (validation tables, presence of optional fields, handler table, typed
// client) and <stem>.bh.c.
#ifndef BULKHEAD_PLUGIN_EMIT_H
#define BULKHEAD_PLUGIN_EMIT_H

#include "common/base/strbuf.h"
#include "common/contract/contract.h"

struct emitter {
  const struct contract *contract;
  const char *file;     // "item/v1/item.proto"; declarations of other files are not written
  struct arena *arena;  // memory for names
  struct strbuf *out;
};

void emit_header(const struct emitter *emitter);
void emit_source(const struct emitter *emitter);

// Write the parts of a source file: tables of messages, and services.
void emit_message_tables(const struct emitter *emitter);
void emit_services(const struct emitter *emitter);

// Writes `text` as a C string literal in quotes.
void emit_literal(struct strbuf *out, const char *text);
// Writes an array of strings: static const char *const name[] = {...};
void emit_string_array(struct strbuf *out, const char *name, const char *const *items, size_t count);

bool emit_is_here(const struct emitter *emitter, const struct contract_file *file);

#endif
