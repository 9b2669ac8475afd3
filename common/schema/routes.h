// Private to this folder: the tree of all path templates.
#ifndef BULKHEAD_SCHEMA_ROUTES_H
#define BULKHEAD_SCHEMA_ROUTES_H

#include "common/schema/tables.h"

// From schema->bindings, into schema->routes. INVALID_ARGUMENT for two bindings with one route.
enum status routes_build(struct schema *schema, struct error *error) MUST_CHECK;

#endif
