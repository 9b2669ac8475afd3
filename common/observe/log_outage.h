// Logs the first failure of what is tried over and over, and its recovery, so that an outage is two lines of the log
// however many tries it takes.
#ifndef BULKHEAD_OBSERVE_LOG_OUTAGE_H
#define BULKHEAD_OBSERVE_LOG_OUTAGE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/observe/log.h"

struct log_outage {
  const char *subject;
  const char *failure;   // the message of the warning
  const char *recovery;  // what is said when it works again
  bool failing;          // the last try has failed
};

// Notes how a try has ended. The line, where there is one to write, has these fields.
void log_outage_note(struct log_outage *outage, bool failing, const struct log_field *fields, size_t field_count);

#endif
