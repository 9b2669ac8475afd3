// Declares the handlers of AuditService.
#ifndef BULKHEAD_SERVICES_AUTH_AUDIT_HANDLERS_H
#define BULKHEAD_SERVICES_AUTH_AUDIT_HANDLERS_H

#include "auth/v1/audit.bh.h"

extern const struct auth_v1_audit_service_handlers auth_audit_handlers;

#endif
