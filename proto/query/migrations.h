// Checks the names of a service's migrations before their SQL runs. proto/plugin/embed_migrations.sh checks them again,
// and their .down.sql halves, when it embeds them in the service.
#ifndef BULKHEAD_QUERY_MIGRATIONS_H
#define BULKHEAD_QUERY_MIGRATIONS_H

#include "proto/query/model.h"

// Reports the first migration whose number is not the one behind the number before it: two branches that were merged
// may both have added 0002_....
void check_migrations(const struct service_source *service, struct findings *findings);

#endif
