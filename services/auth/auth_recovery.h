// Forgotten passwords. A request for a new one only adds a job to the queue, so it takes the same time and has the same
// answer for every address; the job looks for the account, makes a token and adds the mail.
#ifndef BULKHEAD_SERVICES_AUTH_AUTH_RECOVERY_H
#define BULKHEAD_SERVICES_AUTH_AUTH_RECOVERY_H

#include "common/base/status.h"

struct call;
struct job;

// How many mails that set a new password an account gets within an hour.
#define AUTH_RECOVERY_AN_HOUR 5

// Has a mail sent to the account of this address, if there is one.
enum status auth_recovery_begin(struct call *call, const char *email) MUST_CHECK;
// Sets the password of the account that the token was made for. Fails the call with FAILED_PRECONDITION for a token
// that may not be used, and as auth_passwords_hash does; the token stays usable then.
enum status auth_recovery_finish(struct call *call, const char *token, const char *new_password) MUST_CHECK;

// Runs the job of a request.
enum status auth_recovery_run(struct job *job) MUST_CHECK;

#endif
