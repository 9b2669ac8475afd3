// Keeps what PostgreSQL described, in a file named after a hash of everything that it depends on: the migrations and
// the queries. While those stay as they are, a build needs no server; all variants of the build share the files.
#ifndef BULKHEAD_QUERY_KEPT_H
#define BULKHEAD_QUERY_KEPT_H

#include "proto/query/model.h"

const char *kept_path(const struct service_source *service, const char *folder, struct arena *arena);
// Fills the descriptions from the file. False where it is missing or incomplete.
bool kept_read(struct service_source *service, const char *path, struct arena *arena);
enum status kept_write(const struct service_source *service, const char *path, struct error *error) MUST_CHECK;

#endif
