// Declares the handlers of the user service: one function for each method. They hold no SQL, no Redis and no nng.
#ifndef BULKHEAD_SERVICES_USER_USER_HANDLERS_H
#define BULKHEAD_SERVICES_USER_USER_HANDLERS_H

#include "common/service/resource.h"
#include "user/v1/user.bh.h"

extern const struct user_v1_user_service_handlers user_handlers;
extern const struct resource user_resource;

#endif
