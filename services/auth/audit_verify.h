// The command `auth audit verify`: walks the chain of the audit log, and names what was changed or is missing.
#ifndef BULKHEAD_SERVICES_AUTH_AUDIT_VERIFY_H
#define BULKHEAD_SERVICES_AUTH_AUDIT_VERIFY_H

#include "common/base/status.h"

struct service;

// Runs the command; its arguments are `verify` and, optionally, what an earlier run has printed.
enum status audit_verify_run(struct service *service, int argc, char **argv, struct error *error);

#endif
