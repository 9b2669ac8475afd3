// Compares what PostgreSQL described with what the annotations and the contract say; gives every parameter and column
// its form in C.
#ifndef BULKHEAD_QUERY_BIND_H
#define BULKHEAD_QUERY_BIND_H

#include "proto/query/model.h"

// Sets the types of a page's orders from its columns. What cannot order a list goes to `findings`.
void bind_orders(const struct service_source *service, struct query_source *query, struct findings *findings);
void bind_service(struct service_source *service, struct findings *findings);

#endif
