// Compares the connections that an instance may open with those that PostgreSQL takes.
#ifndef BULKHEAD_SERVICE_CAPACITY_INTERNAL_H
#define BULKHEAD_SERVICE_CAPACITY_INTERNAL_H

#include "common/storage/pg.h"

// Logs how many instances fit, and warns where not even this one does. A server that cannot be asked is passed over.
// Must be called from a task.
void capacity_check(struct pg *pg);

#endif
