// Removes changes of items that are older than resume tokens last.
#ifndef BULKHEAD_SERVICES_ITEM_ITEM_SWEEP_H
#define BULKHEAD_SERVICES_ITEM_ITEM_SWEEP_H

struct service;

// Starts the background task. The service's settings say how often it runs.
void item_sweep_start(struct service *service);

#endif
