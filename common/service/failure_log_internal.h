// The lines of the log that say why calls could not be done: the way from the request id of a 503, 504 or 429 to its
// cause.
#ifndef BULKHEAD_SERVICE_FAILURE_LOG_INTERNAL_H
#define BULKHEAD_SERVICE_FAILURE_LOG_INTERNAL_H

#include <stdint.h>

#include "common/base/slice.h"
#include "common/observe/log_limit.h"
#include "common/rpc/rpc.h"
#include "common/runtime/task.h"

// The lines a second for one cause. An outage fails thousands of calls for the same cause.
#define FAILURE_LOG_LINES 5
#define FAILURE_LOG_CAUSES 64

// All zero at first.
struct failure_log {
  struct log_limit limits[FAILURE_LOG_CAUSES];  // by the hash of the cause's text
};

// Logs, in the current log context, that a call of the method has ended with `outcome`, and why. Logs nothing where the
// failure is none of the operator's: of what is exhausted, that a task has noted its cause shows it.
void failure_log_write(struct failure_log *log, const char *method, const struct rpc_status *outcome,
                       const struct task_cause *cause, uint64_t now_us);

#endif
