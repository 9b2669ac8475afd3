// Checks that no query's plan scans a table: with the data of a seed in place, both as a custom and as a generic plan.
#ifndef BULKHEAD_QUERY_PLANS_H
#define BULKHEAD_QUERY_PLANS_H

#include "proto/query/model.h"

// Runs <seed_folder>/<service>.sql, which fills the tables. Its lines "-- sample NAME: VALUE" say what the parameter
// NAME is in a custom plan.
enum status plans_check(struct service_source *service, const char *conninfo, const char *seed_folder,
                        struct arena *arena, struct findings *findings, struct error *error) MUST_CHECK;

#endif
