// Reads services/<name>/queries/*.sql and migrations/*.up.sql, and common/service/migrations/*.up.sql.
#ifndef BULKHEAD_QUERY_SOURCE_H
#define BULKHEAD_QUERY_SOURCE_H

#include "proto/query/model.h"

// Reads the queries and migrations of the service `name` into `arena`. Mistakes in the texts go to `findings`; a file
// that cannot be read is an error.
enum status source_read(struct service_source *service, const char *name, struct arena *arena,
                        struct findings *findings, struct error *error) MUST_CHECK;

#endif
