// Declares the handlers of SessionService: what users see of their sessions, and end.
#ifndef BULKHEAD_SERVICES_AUTH_SESSION_HANDLERS_H
#define BULKHEAD_SERVICES_AUTH_SESSION_HANDLERS_H

#include "auth/v1/sessions.bh.h"

extern const struct auth_v1_session_service_handlers auth_session_handlers;

#endif
