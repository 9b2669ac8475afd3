// Asks PostgreSQL about each statement of a service: parameters, columns, whether it only reads.
#ifndef BULKHEAD_QUERY_DESCRIBE_H
#define BULKHEAD_QUERY_DESCRIBE_H

#include "proto/query/model.h"

// Fills the descriptions of all queries. What PostgreSQL refuses goes to `findings`.
enum status describe_service(struct service_source *service, const char *conninfo, struct arena *arena,
                             struct findings *findings, struct error *error) MUST_CHECK;

#endif
