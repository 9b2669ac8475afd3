// Declares the handlers of PasswordService.
#ifndef BULKHEAD_SERVICES_AUTH_PASSWORD_HANDLERS_H
#define BULKHEAD_SERVICES_AUTH_PASSWORD_HANDLERS_H

#include "auth/v1/password.bh.h"

extern const struct auth_v1_password_service_handlers auth_password_handlers;

#endif
