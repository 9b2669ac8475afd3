#include "services/auth/auth_resend.h"

#include "common/service/call.h"
#include "common/service/service.h"
#include "services/auth/address_jobs.h"
#include "services/auth/auth_email.h"
#include "services/auth/auth_jobs.h"
#include "services/auth/auth_links.h"
#include "services/auth/auth_peers.h"
#include "services/auth/auth_state.h"

static const struct address_job_kind resend = {.name = AUTH_RESEND_JOB, .seal_context = "bulkhead auth resend 1"};

enum status auth_resend_begin(struct call *call, const char *email)
{
  const struct auth_state *state = call_state(call);
  if (state->mail == NULL)
    return auth_email_fail_without_mail(call);
  return address_job_add(call, &resend, email);
}

enum status auth_resend_run(struct job *job)
{
  const struct auth_state *state = service_state(job_service(job));
  struct addressee addressee;
  struct account_facts account;
  enum status status = address_job_find(job, &resend, &addressee);
  if (status == STATUS_NOT_FOUND)
    return STATUS_OK;
  if (status != STATUS_OK)
    return status;
  status = auth_peers_read_account(job_service(job), NULL, addressee.user_id, job_arena(job), &account);
  if (status == STATUS_NOT_FOUND || (status == STATUS_OK && account.email_verified))
    return STATUS_OK;
  if (status != STATUS_OK)
    return job_fail(job, STATUS_UNAVAILABLE, "the user service could not be asked (%s)", status_name(status));
  const struct auth_link link =
      auth_email_verification(state, addressee.user_id, account.email, AUTH_VERIFICATIONS_AN_HOUR);
  bool sent;
  return auth_link_send(state, job_tx(job), &link, job_arena(job), &sent);
}
