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
  const char *file;     // "item/v1/item.proto": what is declared elsewhere is not written
  struct arena *arena;  // for names
  struct strbuf *out;
};

void emit_header(const struct emitter *emitter);
void emit_source(const struct emitter *emitter);

// The parts of a source: tables of messages, and services.
void emit_message_tables(const struct emitter *emitter);
void emit_services(const struct emitter *emitter);

// A C literal of `text`, in quotes.
void emit_literal(struct strbuf *out, const char *text);
// static const char *const name[] = {...};
void emit_string_array(struct strbuf *out, const char *name, const char *const *items, size_t count);

bool emit_is_here(const struct emitter *emitter, const struct contract_file *file);

#endif
