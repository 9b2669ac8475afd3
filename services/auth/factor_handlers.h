// Declares the handlers of FactorService: second factors, and the second step of a login.
#ifndef BULKHEAD_SERVICES_AUTH_FACTOR_HANDLERS_H
#define BULKHEAD_SERVICES_AUTH_FACTOR_HANDLERS_H

#include "auth/v1/factors.bh.h"

extern const struct auth_v1_factor_service_handlers auth_factor_handlers;

#endif
