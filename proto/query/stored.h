// Checks that a query which writes a message leaves out none of the fields that clients may write: such a field would
// be accepted and lost.
#ifndef BULKHEAD_QUERY_STORED_H
#define BULKHEAD_QUERY_STORED_H

#include "proto/query/model.h"

// Reports each field of an argument that an INSERT or UPDATE neither names nor leaves out for a reason ("-- without").
// An UPDATE need not name an immutable field.
void check_stored(const struct service_source *service, struct query_source *query, struct findings *findings);

#endif
