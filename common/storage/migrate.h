// Schema migrations of a service: numbered pairs of SQL files, embedded in the binary by the build
// (services/<name>/migrations/0001_what.up.sql, .down.sql). Each runs in a transaction of its own together with its row
// in <schema>.schema_migrations (version, name, sha256, applied_at). An advisory lock makes instances that start
// together wait for one another. A migration that cannot lock a table within 100 ms gives way, so that what reads and
// writes the table goes on, and is tried again for five minutes. A file that changed after it was applied is refused by
// name.
//
// A release may run with a schema that is newer than it, after a roll-back or in the middle of a rolling upgrade, if
// the migrations that it does not know say so: by `-- compatible from: NNNN` in their first line (services/README.md).
// The list keeps what they say. A release refuses one that does not.
#ifndef BULKHEAD_STORAGE_MIGRATE_H
#define BULKHEAD_STORAGE_MIGRATE_H

#include <stddef.h>

#include "common/base/slice.h"
#include "common/base/status.h"
#include "common/base/strbuf.h"

struct migration {
  unsigned version;  // 1, 2, ... without gaps
  const char *name;  // "items"
  struct slice up;
  struct slice down;
  // Releases whose last migration is this one, or a later one, run with it. 0: only those that have it.
  unsigned compatible_from;
};

struct migration_set {
  const char *schema;  // of the service; search_path while they run
  const struct migration *migrations;
  size_t count;
  const char *table;  // lists what was applied; NULL means "schema_migrations"
};

// The functions below block, on a connection of their own: they run before the loop does, or as commands.

// Applies the migrations that are missing. `applied` is their number. Refuses a schema that is newer than this program
// and not declared compatible.
enum status migrate_up(const char *conninfo, const struct migration_set *set, size_t *applied,
                       struct error *error) MUST_CHECK;
// Looks whether this program can run with the schema, without changing anything. Refuses one that is newer and not
// declared compatible; UNAVAILABLE for one that lacks a migration, because that may still be applied, and where the
// list cannot be read in time; PERMISSION_DENIED where the role may not read it.
enum status migrate_check(const char *conninfo, const struct migration_set *set, struct error *error) MUST_CHECK;
// Reverts the last `steps` migrations. `reverted` is the number of those that were.
enum status migrate_down(const char *conninfo, const struct migration_set *set, size_t steps, size_t *reverted,
                         struct error *error) MUST_CHECK;
// Writes a line for each migration: version, name, when it was applied or "pending", and "CHANGED" where the checksum
// differs, "of a later release" where this program does not have it.
enum status migrate_status(const char *conninfo, const struct migration_set *set, struct strbuf *out,
                           struct error *error) MUST_CHECK;
// Creates empty <next>_<name>.up.sql and .down.sql in `folder`, and writes their paths to `out`.
enum status migrate_create(const char *folder, const char *name, struct strbuf *out, struct error *error) MUST_CHECK;

#endif
