// The handler of WatchItems.
#ifndef BULKHEAD_SERVICES_ITEM_ITEM_WATCH_H
#define BULKHEAD_SERVICES_ITEM_ITEM_WATCH_H

#include "item/v1/item.bh.h"

enum status item_watch(struct call *call, const Item__V1__WatchItemsRequest *request, struct stream *stream);

#endif
