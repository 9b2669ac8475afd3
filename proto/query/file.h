// Reads and writes whole files as texts.
#ifndef BULKHEAD_QUERY_FILE_H
#define BULKHEAD_QUERY_FILE_H

#include <stdbool.h>

#include "common/base/arena.h"
#include "common/base/slice.h"
#include "common/base/status.h"

enum status file_read(const char *path, struct arena *arena, struct slice *text, struct error *error) MUST_CHECK;
// Writes a file under a temporary name and renames it, so that no reader sees a part. Makes missing folders. A file
// that holds this text already keeps its modification time.
enum status file_write(const char *path, struct slice text, struct error *error) MUST_CHECK;
// Lists the files of `folder` whose names end in `suffix`: sorted paths, then NULL. A missing folder has no files.
const char **file_list(const char *folder, const char *suffix, struct arena *arena);

#endif
