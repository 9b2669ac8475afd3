#include "common/observe/log_outage.h"

void log_outage_note(struct log_outage *outage, bool failing, const struct log_field *fields, size_t field_count)
{
  if (outage->failing == failing)
    return;
  outage->failing = failing;
  enum log_level level = failing ? LOG_WARN : LOG_INFO;
  if (log_enabled(level))
    log_write(level, outage->subject, failing ? outage->failure : outage->recovery, fields, field_count);
}
