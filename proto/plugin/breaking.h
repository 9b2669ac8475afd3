// Finds the changes of a set of contracts that break clients of the released ones:  break clients of the released ones:
// those that speak protobuf (RPC), those that speak JSON over HTTP (REST), or both. A package whose version rose
// (item.v1 became item.v2) may change as it likes.
#ifndef BULKHEAD_PLUGIN_BREAKING_H
#define BULKHEAD_PLUGIN_BREAKING_H

#include "common/contract/contract.h"

// Adds a diagnostic for each breaking change, at its place in the present contracts where it has one.
void breaking_find(const struct contract *released, const struct contract *present, struct diagnostics *diagnostics);

#endif
