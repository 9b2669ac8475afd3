// The session of a migration: its connection, the lock, and the list of what was applied. migrate_session.c opens it
// and migrate.c works with it.
#ifndef BULKHEAD_STORAGE_MIGRATE_INTERNAL_H
#define BULKHEAD_STORAGE_MIGRATE_INTERNAL_H

#include <libpq-fe.h>
#include <stdbool.h>

#include "common/storage/migrate.h"

// A row of the list: a migration that was applied.
struct applied {
  unsigned version;
  unsigned compatible_from;  // releases whose last migration is this one, or a later one, run with it
  bool same;                 // its checksum is that of this program's file
  const char *name;
  const char *at;
};

struct session {
  PGconn *conn;
  const struct migration_set *set;
  const char *list;  // the table that lists what was applied
  char *table;       // its name in SQL: quoted, with its schema
  struct error *error;
  PGresult *rows;  // keeps the strings of `applied`
  struct applied *applied;
  size_t applied_count;
  bool lock_missed;  // the last failure was a lock that could not be had
};

// Connects, takes the lock that makes others wait, creates the schema and the list where they are missing, and reads
// the list. To be closed also when it fails.
enum status migrate_open_session(struct session *s, const char *conninfo, const struct migration_set *set,
                                 struct error *error) MUST_CHECK;
// Connects and reads the list without changing anything and without a lock. A list that does not exist is empty.
enum status migrate_open_reader(struct session *s, const char *conninfo, const struct migration_set *set,
                                struct error *error) MUST_CHECK;
void migrate_close_session(struct session *s);

// Refuses a list that cannot be right: a file that was changed after it was applied, or a row that is missing.
enum status migrate_refuse_changed(struct session *s) MUST_CHECK;
// Refuses migrations that this program does not know, and that do not say that it can run with them.
enum status migrate_refuse_incompatible(struct session *s) MUST_CHECK;
// Returns the last migration that was applied, where this program does not know it; NULL otherwise.
const struct applied *migrate_newest_unknown(const struct session *s);
bool migrate_is_known(const struct migration_set *set, unsigned version);

enum status migrate_run_sql(struct session *s, const char *doing, const char *sql);
// Sets the error to libpq's text, cut after its first line.
enum status migrate_report_failure(struct session *s, const char *doing, const PGresult *result);

#endif
