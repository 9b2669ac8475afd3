// Which fields of a resource an update writes: those that its mask names (AIP-134) and that its query stores. Beside
// resource_merge.
#ifndef BULKHEAD_SERVICE_RESOURCE_MASK_INTERNAL_H
#define BULKHEAD_SERVICE_RESOURCE_MASK_INTERNAL_H

#include <protobuf-c/protobuf-c.h>

#include "common/service/query.h"

struct resource;

// Returns the query that writes what the mask names, and the fewest fields beside it.
const struct query *resource_pick_update(const struct resource *resource, const ProtobufCMessage *mask,
                                         const ProtobufCMessage *message);

#endif
