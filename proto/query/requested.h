// Checks that a list does what its request offers: a filter that no query uses would be ignored, and an order that no
// query has would be refused.
#ifndef BULKHEAD_QUERY_REQUESTED_H
#define BULKHEAD_QUERY_REQUESTED_H

#include "proto/query/model.h"

// Reports each field of a list's request that the query neither uses nor leaves out for a reason ("-- without"), and
// each order that only one of the contract and the queries has. Queries that share a request share its orders.
void check_requested(const struct service_source *service, struct query_source *query, struct findings *findings);

#endif
