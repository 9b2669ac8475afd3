// The handlers of auth.v1.ServiceAccountService.
#ifndef BULKHEAD_SERVICES_AUTH_SERVICE_ACCOUNT_HANDLERS_H
#define BULKHEAD_SERVICES_AUTH_SERVICE_ACCOUNT_HANDLERS_H

#include "auth/v1/service_accounts.bh.h"

extern const struct auth_v1_service_account_service_handlers auth_service_account_handlers;

#endif
