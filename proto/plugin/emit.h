// Writes C from a contract that passed its review.
#ifndef BULKHEAD_PLUGIN_EMIT_H
#define BULKHEAD_PLUGIN_EMIT_H

#include "common/base/strbuf.h"
#include "proto/plugin/contract.h"

// <stem>.bh.h: declarations of rules, handler tables, typed client calls.
void emit_header(const struct plugin_contract *contract, const FileProto *file, struct strbuf *out);
// <stem>.bh.c: their definitions.
void emit_source(const struct plugin_contract *contract, const FileProto *file, struct strbuf *out);

#endif
