// The decisions about jobs, without I/O.
#include <ctype.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/service/jobs_internal.h"

// Tells whether another run could end otherwise. What a peer of another release answers may change with a rollout, so
// PERMISSION_DENIED and UNIMPLEMENTED are not final.
static bool is_final(enum status status)
{
  switch (status) {
  case STATUS_INVALID_ARGUMENT:
  case STATUS_NOT_FOUND:
  case STATUS_ALREADY_EXISTS:
  case STATUS_FAILED_PRECONDITION:
  case STATUS_OUT_OF_RANGE:
  case STATUS_DATA_LOSS:
    return true;
  default:
    return false;
  }
}

bool jobs_exhausted(const struct job_kind *kind, uint32_t failures)
{
  return kind->attempts > 0 && failures >= kind->attempts;
}

enum job_verdict jobs_judge(const struct job_kind *kind, enum status status, uint32_t failures, bool stopping)
{
  if (status == STATUS_OK)
    return JOB_DONE;
  if (is_final(status))
    return JOB_DEAD;
  if (stopping)
    return JOB_GIVEN_BACK;
  return jobs_exhausted(kind, failures + 1) ? JOB_DEAD : JOB_RETRIED;
}

uint32_t jobs_pause_limit_ms(const struct job_kind *kind, uint32_t failures)
{
  uint64_t limit_ms = kind->first_pause_ms;
  for (uint32_t i = 1; i < failures && limit_ms < kind->longest_pause_ms; i++)
    limit_ms *= 2;
  return limit_ms < kind->longest_pause_ms ? (uint32_t)limit_ms : kind->longest_pause_ms;
}

uint64_t jobs_lease_ms(const struct job_kind *kind, uint32_t effect_ms)
{
  return (uint64_t)kind->timeout_ms + JOBS_SETTLE_MS + effect_ms;
}

uint64_t jobs_next_look_us(uint64_t now_us, bool has_next, int64_t next_ms)
{
  uint64_t wait_ms = JOBS_LOOK_MS;
  if (has_next && next_ms < JOBS_LOOK_MS)
    wait_ms = next_ms < 0 ? 0 : (uint64_t)next_ms;
  return deadline_after_ms(now_us, wait_ms);
}

uint64_t jobs_told_us(uint64_t now_us, struct slice message)
{
  uint64_t wait_ms = 0;
  if (!slice_to_uint64(message, 0, JOBS_LOOK_MS, &wait_ms))
    wait_ms = 0;
  return deadline_after_ms(now_us, wait_ms);
}

static bool is_name(const char *name)
{
  enum { MAX_NAME_BYTES = 63 };
  if (name == NULL || !islower((unsigned char)name[0]) || strlen(name) > MAX_NAME_BYTES)
    return false;
  return name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_")] == '\0';
}

static enum status check_kind(const struct job_kind *kind, struct error *error)
{
  enum { MAX_TIMEOUT_MS = 3600000 };
  if (!is_name(kind->name))
    return error_set(error, STATUS_FAILED_PRECONDITION,
                     "a kind of jobs is named \"%s\"; a name is of a-z, 0-9 and _, begins with a letter, and has 63 "
                     "bytes at most",
                     kind->name == NULL ? "" : kind->name);
  const char *wrong = NULL;
  if (kind->run == NULL)
    wrong = "it has no function `run`";
  else if (kind->timeout_ms == 0 || kind->timeout_ms > MAX_TIMEOUT_MS)
    wrong = "timeout_ms must be from 1 to 3600000";
  else if (kind->at_once == 0)
    wrong = "at_once must be at least 1";
  else if (kind->first_pause_ms == 0 || kind->longest_pause_ms < kind->first_pause_ms)
    wrong = "first_pause_ms must be at least 1, and longest_pause_ms not less";
  return wrong == NULL ? STATUS_OK
                       : error_set(error, STATUS_FAILED_PRECONDITION, "the kind of jobs %s: %s", kind->name, wrong);
}

enum status jobs_check_kinds(const struct service_definition *definition, struct error *error)
{
  if (definition->job_count > 0 && definition->migrations == NULL)
    return error_set(error, STATUS_FAILED_PRECONDITION,
                     "jobs need the table that migrations make; name a migration set in the service definition");
  for (size_t i = 0; i < definition->job_count; i++) {
    enum status status = check_kind(&definition->jobs[i], error);
    if (status != STATUS_OK)
      return status;
    for (size_t k = 0; k < i; k++)
      if (strcmp(definition->jobs[k].name, definition->jobs[i].name) == 0)
        return error_set(error, STATUS_FAILED_PRECONDITION, "two kinds of jobs are named %s", definition->jobs[i].name);
  }
  return STATUS_OK;
}
