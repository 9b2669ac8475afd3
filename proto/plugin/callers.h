// Finds callers in a set of contracts that are no services. Only the set of the whole suite can tell: the gateway may
// have fewer contracts than its services.
#ifndef BULKHEAD_PLUGIN_CALLERS_H
#define BULKHEAD_PLUGIN_CALLERS_H

#include "common/contract/contract.h"

// Adds a diagnostic for each name in `callers` of a method that no service of the set has.
void callers_find_unknown(const struct contract *contract, struct diagnostics *diagnostics);

#endif
