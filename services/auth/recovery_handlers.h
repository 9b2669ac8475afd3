// Declares the handlers of forgotten passwords (auth/v1/recovery.proto).
#ifndef BULKHEAD_SERVICES_AUTH_RECOVERY_HANDLERS_H
#define BULKHEAD_SERVICES_AUTH_RECOVERY_HANDLERS_H

#include "auth/v1/recovery.bh.h"

extern const struct auth_v1_recovery_service_handlers auth_recovery_handlers;

#endif
