// Translates SQLSTATE to a canonical status. The codes are in appendix A of PostgreSQL's documentation.
#include <string.h>

#include "common/storage/pg_internal.h"
#include "common/storage/pg_sqlstate_internal.h"

// A code, or the prefix of a class of codes. The first match counts, so codes stand before their class.
struct sqlstate_rule {
  const char *prefix;
  enum status status;
};

static const struct sqlstate_rule RULES[] = {
    {"23505", STATUS_ALREADY_EXISTS},       // unique_violation
    {"23503", STATUS_FAILED_PRECONDITION},  // foreign_key_violation
    {"23514", STATUS_FAILED_PRECONDITION},  // check_violation
    {"40001", STATUS_ABORTED},              // serialization_failure
    {"40P01", STATUS_ABORTED},              // deadlock_detected
    {"55P03", STATUS_ABORTED},              // lock_not_available
    {"57014", STATUS_DEADLINE_EXCEEDED},    // query_canceled: statement_timeout, or our cancel
    {PG_READ_ONLY, STATUS_UNAVAILABLE},     // read_only_sql_transaction: the server has become a stand-by
    {"25P03", STATUS_UNAVAILABLE},          // idle_in_transaction_session_timeout: the connection is gone
    {"57P0", STATUS_UNAVAILABLE},           // shutdown, crash, cannot connect now
    {"08", STATUS_UNAVAILABLE},             // connection exception
    {"53", STATUS_UNAVAILABLE},             // insufficient resources
    {"22", STATUS_INVALID_ARGUMENT},        // data exception
    {"54", STATUS_INVALID_ARGUMENT},        // program limit exceeded: a value is too long or too complex
};

enum status pg_sqlstate_status(const char *sqlstate)
{
  if (sqlstate == NULL || strlen(sqlstate) != 5)
    return STATUS_INTERNAL;
  for (size_t i = 0; i < ARRAY_LEN(RULES); i++)
    if (strncmp(sqlstate, RULES[i].prefix, strlen(RULES[i].prefix)) == 0)
      return RULES[i].status;
  return STATUS_INTERNAL;
}
