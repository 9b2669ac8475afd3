// The error codes of PostgreSQL, SQLSTATE, as statuses of this suite.
#ifndef BULKHEAD_STORAGE_PG_SQLSTATE_INTERNAL_H
#define BULKHEAD_STORAGE_PG_SQLSTATE_INTERNAL_H

#include "common/base/status.h"

// The SQLSTATE of a server that takes no writes, and has changed nothing.
#define PG_READ_ONLY "25006"
// Translates an SQLSTATE: "23505" gives ALREADY_EXISTS; NULL and malformed ones give INTERNAL.
enum status pg_sqlstate_status(const char *sqlstate);

#endif
