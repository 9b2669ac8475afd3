// Declares the handlers of AccountAccessService: suspending accounts, resuming them, and ending all their sessions.
#ifndef BULKHEAD_SERVICES_AUTH_ACCOUNT_ACCESS_HANDLERS_H
#define BULKHEAD_SERVICES_AUTH_ACCOUNT_ACCESS_HANDLERS_H

#include "auth/v1/account_access.bh.h"

extern const struct auth_v1_account_access_service_handlers auth_account_access_handlers;

#endif
