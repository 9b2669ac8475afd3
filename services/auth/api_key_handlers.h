// The handlers of auth.v1.ApiKeyService.
#ifndef BULKHEAD_SERVICES_AUTH_API_KEY_HANDLERS_H
#define BULKHEAD_SERVICES_AUTH_API_KEY_HANDLERS_H

#include "auth/v1/api_keys.bh.h"

extern const struct auth_v1_api_key_service_handlers auth_api_key_handlers;

#endif
