// Declares the handlers of RemovalService.
#ifndef BULKHEAD_SERVICES_USER_REMOVAL_HANDLERS_H
#define BULKHEAD_SERVICES_USER_REMOVAL_HANDLERS_H

#include "user/v1/removals.bh.h"

extern const struct user_v1_removal_service_handlers user_removal_handlers;

#endif
