// Declares the handlers of the item service: one function for each method. They hold no SQL, no Redis and no nng: those
// are in the queries, the cache and common.
#ifndef BULKHEAD_SERVICES_ITEM_ITEM_HANDLERS_H
#define BULKHEAD_SERVICES_ITEM_ITEM_HANDLERS_H

#include "common/service/resource.h"
#include "item/v1/item.bh.h"

extern const struct item_v1_item_service_handlers item_handlers;
extern const struct resource item_resource;

#endif
