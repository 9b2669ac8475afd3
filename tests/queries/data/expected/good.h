// Made by bulkhead-query from services/good/queries. Do not edit.
#ifndef BULKHEAD_GEN_GOOD_QUERIES_BH_H
#define BULKHEAD_GEN_GOOD_QUERIES_BH_H

#include "common/service/query.h"
#include "common/service/query_list.h"

// What a row may hold as NULL: what its table may, what an expression gives, and what the query says.
// NOT_FOUND where there is no row.
struct good_db_nullability_params {
  const char *id;
};
struct good_db_nullability_row {
  const char *id;
  const char *note;  // NULL where the column is
  int64_t weight;
  bool has_weight;  // false where the column is NULL
  int64_t size;
  const char *both;  // NULL where the column is
  int64_t longest;
};
enum status good_db_nullability(struct query_db db, const char *id, struct arena *arena, struct good_db_nullability_row *row) MUST_CHECK;
extern const struct query good_db_nullability_query;

// NOT_FOUND where there is no row.
struct good_db_writes_nothing_params {
  const char *id;
};
struct good_db_writes_nothing_row {
  const char *name;
};
enum status good_db_writes_nothing(struct query_db db, const char *id, struct arena *arena, struct good_db_writes_nothing_row *row) MUST_CHECK;
extern const struct query good_db_writes_nothing_query;

// NOT_FOUND where there is no row.
struct good_db_locks_params {
  const char *id;
};
struct good_db_locks_row {
  const char *name;
};
enum status good_db_locks(struct query_db db, const char *id, struct arena *arena, struct good_db_locks_row *row) MUST_CHECK;
extern const struct query good_db_locks_query;

// NOT_FOUND where there is no row.
struct good_db_calls_params {
  const char *id;
};
struct good_db_calls_row {
  const char *name;
};
enum status good_db_calls(struct query_db db, const char *id, struct arena *arena, struct good_db_calls_row *row) MUST_CHECK;
extern const struct query good_db_calls_query;

// All rows.
struct good_db_many_params {
  const char *const *names;
  size_t names_count;
  const int64_t *least;  // NULL is SQL NULL
  const char *note;  // NULL is SQL NULL
};
struct good_db_many_row {
  const char *id;
  int64_t create_time;  // microseconds since 1970
};
enum status good_db_many(struct query_db db, const struct good_db_many_params *params, struct arena *arena, struct good_db_many_row **rows, size_t *count) MUST_CHECK;
extern const struct query good_db_many_query;

#endif
