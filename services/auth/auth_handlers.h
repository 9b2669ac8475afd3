// Declares the handlers of the auth service: one function for each method. They hold no SQL and no nng.
#ifndef BULKHEAD_SERVICES_AUTH_AUTH_HANDLERS_H
#define BULKHEAD_SERVICES_AUTH_AUTH_HANDLERS_H

#include "auth/v1/auth.bh.h"

extern const struct auth_v1_auth_service_handlers auth_handlers;
extern const struct auth_v1_rate_limit_service_handlers auth_limit_handlers;

#endif
