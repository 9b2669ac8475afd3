#include "common/service/failure_log_internal.h"

#include "common/base/hash.h"
#include "common/observe/log.h"

static bool is_for_operator(enum status status, const struct task_cause *cause)
{
  if (status == STATUS_RESOURCE_EXHAUSTED)
    return cause->text != NULL;
  return status == STATUS_UNAVAILABLE || status == STATUS_DEADLINE_EXCEEDED;
}

// Failures without a cause share the limit of their status, because their messages may hold anything.
static struct log_limit *find_limit(struct failure_log *log, enum status status, const struct task_cause *cause)
{
  const char *kind = cause->text == NULL ? status_name(status) : cause->text;
  return &log->limits[hash_bytes(slice_from_string(kind)) % FAILURE_LOG_CAUSES];
}

void failure_log_write(struct failure_log *log, const char *method, const struct rpc_status *outcome,
                       const struct task_cause *cause, uint64_t now_us)
{
  uint64_t suppressed;
  if (!is_for_operator(outcome->code, cause) ||
      !log_limit_pass_some(find_limit(log, outcome->code, cause), FAILURE_LOG_LINES, now_us, &suppressed))
    return;
  log_info("calls", "a call could not be done", LOG_STRING("method", method), LOG_STATUS(outcome->code),
           LOG_SLICE("reason", outcome->reason),
           LOG_SLICE("cause", cause->text == NULL ? outcome->message : slice_from_string(cause->text)),
           LOG_STRING("what", cause->what == NULL ? "" : cause->what), LOG_INT("leftOutBefore", suppressed));
}
