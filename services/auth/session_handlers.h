// Declares the handlers of SessionService: what users see of their sessions, and end.
#ifndef BULKHEAD_SERVICES_AUTH_SESSION_HANDLERS_H
#define BULKHEAD_SERVICES_AUTH_SESSION_HANDLERS_H

#include "auth/v1/sessions.bh.h"
#include "common/base/status.h"

struct call;

// Fails the call with INVALID_ARGUMENT and a violation of `field` where the name that it holds has characters that are
// invisible or change the text's direction.
enum status session_check_name(struct call *call, const char *field, const char *name) MUST_CHECK;

extern const struct auth_v1_session_service_handlers auth_session_handlers;

#endif
