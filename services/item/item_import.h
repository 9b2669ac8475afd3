// The handler of ImportItems.
#ifndef BULKHEAD_SERVICES_ITEM_ITEM_IMPORT_H
#define BULKHEAD_SERVICES_ITEM_ITEM_IMPORT_H

#include "item/v1/item.bh.h"

enum status item_import(struct call *call, struct stream *stream, Item__V1__ImportItemsResponse *response);

#endif
