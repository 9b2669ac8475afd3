// The auth service's background work (common/service/jobs.h).
#ifndef BULKHEAD_SERVICES_AUTH_AUTH_JOBS_H
#define BULKHEAD_SERVICES_AUTH_AUTH_JOBS_H

#include "common/service/jobs.h"

// Sends a mail (auth_mail.h).
#define AUTH_MAIL_JOB "mail"
// Sends a mail to the address that an account has by then (auth_mail.h).
#define AUTH_NOTICE_JOB "notice"
// Works on a request for a forgotten password (auth_recovery.h).
#define AUTH_RECOVERY_JOB "recovery"
// Works on a request for another mail that confirms an address (auth_resend.h).
#define AUTH_RESEND_JOB "resend"
// Works on a request for another address (auth_email.h).
#define AUTH_EMAIL_CHANGE_JOB "email_change"
// Ends the access tokens of a role's holders (auth_roles.h).
#define AUTH_ROLE_JOB "role"
// Has what other services hold of a deleted service account removed (service_accounts.h).
#define AUTH_REMOVE_DATA_JOB "remove_data"

enum { AUTH_JOB_COUNT = 7 };
extern const struct job_kind auth_jobs[AUTH_JOB_COUNT];

#endif
