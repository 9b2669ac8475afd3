// The handlers of auth.v1.PasskeyService.
#ifndef BULKHEAD_SERVICES_AUTH_PASSKEY_HANDLERS_H
#define BULKHEAD_SERVICES_AUTH_PASSKEY_HANDLERS_H

#include "auth/v1/passkeys.bh.h"

extern const struct auth_v1_passkey_service_handlers auth_passkey_handlers;

#endif
