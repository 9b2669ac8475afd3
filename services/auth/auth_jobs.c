#include "services/auth/auth_jobs.h"

#include "services/auth/auth_email.h"
#include "services/auth/auth_mail.h"
#include "services/auth/auth_recovery.h"
#include "services/auth/auth_resend.h"
#include "services/auth/auth_roles.h"
#include "services/auth/service_accounts.h"

// How a mail is retried. Pauses grow from 2 s to 15 minutes, so the tries last for three days. A server may
// think for long about a mail that it has, and one that was given up is sent again; but the mail of a process that has
// died waits as long, too.
#define MAIL_RETRY_POLICY                                                                                              \
  .attempts = 600, .first_pause_ms = 2000, .longest_pause_ms = 900000, .timeout_ms = 120000, .at_once = 8

// How a request for a mail is retried. Whoever waits for the mail asks again after some minutes.
#define REQUEST_RETRY_POLICY                                                                                           \
  .attempts = 50, .first_pause_ms = 500, .longest_pause_ms = 60000, .timeout_ms = 10000, .at_once = 4

const struct job_kind auth_jobs[AUTH_JOB_COUNT] = {
    {.name = AUTH_MAIL_JOB, .run = auth_mail_send, MAIL_RETRY_POLICY},
    {.name = AUTH_NOTICE_JOB, .run = auth_mail_send, MAIL_RETRY_POLICY},
    {.name = AUTH_RECOVERY_JOB, .run = auth_recovery_run, REQUEST_RETRY_POLICY},
    {.name = AUTH_RESEND_JOB, .run = auth_resend_run, REQUEST_RETRY_POLICY},
    {.name = AUTH_EMAIL_CHANGE_JOB, .run = auth_email_change_run, REQUEST_RETRY_POLICY},
    // Until it has run, what was taken from a role is still in the access tokens of its holders.
    {.name = AUTH_ROLE_JOB,
     .run = auth_roles_end_holders,
     .attempts = 0,
     .first_pause_ms = 100,
     .longest_pause_ms = 5000,
     .timeout_ms = 60000,
     .at_once = 1},
    // Nobody but this job knows that there is something to remove, so it is never given up.
    {.name = AUTH_REMOVE_DATA_JOB,
     .run = service_accounts_remove_data,
     .attempts = 0,
     .first_pause_ms = 500,
     .longest_pause_ms = 300000,
     .timeout_ms = 5000,
     .at_once = 2},
};
