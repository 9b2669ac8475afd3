// Sends the mail that confirms an address once more, to whoever has not got it or let it expire.
#ifndef BULKHEAD_SERVICES_AUTH_AUTH_RESEND_H
#define BULKHEAD_SERVICES_AUTH_AUTH_RESEND_H

#include "common/base/status.h"

struct call;
struct job;

// Asks for the mail. The answer does not tell whether an account has the address.
enum status auth_resend_begin(struct call *call, const char *email) MUST_CHECK;
// Runs its job: sends the mail where an account has the address and has not confirmed it.
enum status auth_resend_run(struct job *job) MUST_CHECK;

#endif
