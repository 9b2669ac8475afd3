// The handlers of auth.v1.RoleService.
#ifndef BULKHEAD_SERVICES_AUTH_ROLE_HANDLERS_H
#define BULKHEAD_SERVICES_AUTH_ROLE_HANDLERS_H

#include "auth/v1/roles.bh.h"

extern const struct auth_v1_role_service_handlers auth_role_handlers;

#endif
