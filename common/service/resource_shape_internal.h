// Checks, when a service starts, what resource.c relies on: the fields of requests and rows that it finds by their
// names, and the parameters of the queries. A mistake there must not wait for a client's call.
#ifndef BULKHEAD_SERVICE_RESOURCE_SHAPE_INTERNAL_H
#define BULKHEAD_SERVICE_RESOURCE_SHAPE_INTERNAL_H

#include "common/base/status.h"
#include "common/service/resource.h"

// The parameters of `lock`.
struct resource_id_params {
  const char *id;
};

// The parameters of `remove`.
struct resource_remove_params {
  const char *id;
  const char *etag;
  struct slice remover;  // with describe_remover
};

// Checks the resources, an array that ends with NULL or is NULL. The error names all mistakes of the first resource
// that has any.
enum status resource_check_shapes(const struct resource *const *resources, struct error *error) MUST_CHECK;

#endif
