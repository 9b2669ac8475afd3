// Checks by PostgreSQL's plan that a gathered change takes each of its rows by the key.
#ifndef BULKHEAD_QUERY_GATHERED_H
#define BULKHEAD_QUERY_GATHERED_H

#include <libpq-fe.h>

#include "proto/query/model.h"

struct gathered_check {
  const struct service_source *service;
  const struct query_source *query;
  struct findings *findings;
  struct arena *arena;
  PGconn *conn;  // on which the statement is prepared
};

// Reports an UPDATE or DELETE of one table by one unnest() that may change several rows for one place, or that does not
// find its row by the first parameter. A statement of another form is not judged, because its plan does not tell.
void check_gathered_plan(const struct gathered_check *check, const struct statement *statement);

#endif
