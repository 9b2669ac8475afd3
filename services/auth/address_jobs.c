#include "services/auth/address_jobs.h"

#include "common/security/key.h"
#include "common/service/call.h"
#include "common/service/jobs.h"
#include "common/service/service.h"
#include "services/auth/auth_devices.h"
#include "services/auth/auth_peers.h"
#include "services/auth/auth_state.h"

enum status address_job_add(struct call *call, const struct address_job_kind *kind, const char *email)
{
  const struct auth_state *state = call_state(call);
  struct arena *arena = call_arena(call);
  struct slice secret = slice_from_string(state->stored_secret);
  struct slice sealed;
  enum status status = key_seal(secret, kind->seal_context, slice_from_string(email), arena, &sealed);
  if (status != STATUS_OK)
    return status;
  const struct job_request job = {
      .kind = kind->name, .key = auth_devices_account(state->stored_secret, email, arena), .payload = sealed};
  return jobs_add(query_on(state->pg), &job, arena);
}

enum status address_job_find(struct job *job, const struct address_job_kind *kind, struct addressee *addressee)
{
  const struct auth_state *state = service_state(job_service(job));
  struct arena *arena = job_arena(job);
  struct slice plain;
  enum status status =
      key_open(slice_from_string(state->stored_secret), kind->seal_context, job_payload(job), arena, &plain);
  if (status != STATUS_OK)
    return job_fail(job, STATUS_FAILED_PRECONDITION, "the stored secret does not open this request");
  *addressee = (struct addressee){.email = arena_string(arena, plain)};
  status = auth_peers_find_user(job_service(job), NULL, addressee->email, arena, &addressee->user_id);
  if (status == STATUS_OK || status == STATUS_NOT_FOUND)
    return status;
  return job_fail(job, STATUS_UNAVAILABLE, "the user service could not be asked (%s)", status_name(status));
}
