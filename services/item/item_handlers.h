// What the item service does, one function a method. No SQL, no Redis, no nng: those are the queries', the cache's and
// common's.
#ifndef BULKHEAD_SERVICES_ITEM_ITEM_HANDLERS_H
#define BULKHEAD_SERVICES_ITEM_ITEM_HANDLERS_H

#include "item/v1/item.bh.h"

extern const struct item_v1_item_service_handlers item_handlers;

#endif
