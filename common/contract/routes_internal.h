// Private to this folder: the tree of all path templates.
#ifndef BULKHEAD_CONTRACT_ROUTES_INTERNAL_H
#define BULKHEAD_CONTRACT_ROUTES_INTERNAL_H

#include "common/contract/tables.h"

// From contract->bindings, into contract->routes. INVALID_ARGUMENT for two bindings with one route.
enum status routes_build(struct contract *contract, struct error *error) MUST_CHECK;

#endif
