// Files as texts.
#ifndef BULKHEAD_QUERY_FILE_H
#define BULKHEAD_QUERY_FILE_H

#include <stdbool.h>

#include "common/base/arena.h"
#include "common/base/slice.h"
#include "common/base/status.h"

enum status file_read(const char *path, struct arena *arena, struct slice *text, struct error *error) MUST_CHECK;
// Writes by way of a temporary name, so that no reader sees a part. A file that has this text already keeps its time.
enum status file_write(const char *path, struct slice text, struct error *error) MUST_CHECK;
// The paths below `folder` whose names end in `suffix`, sorted; none where there is no such folder. Ends with NULL.
const char **file_list(const char *folder, const char *suffix, struct arena *arena);

#endif
