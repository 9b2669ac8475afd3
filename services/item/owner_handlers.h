// Declares the handlers of OwnerService: what becomes of the items of an account that is deleted.
#ifndef BULKHEAD_SERVICES_ITEM_OWNER_HANDLERS_H
#define BULKHEAD_SERVICES_ITEM_OWNER_HANDLERS_H

#include "item/v1/owners.bh.h"

extern const struct item_v1_owner_service_handlers item_owner_handlers;

#endif
