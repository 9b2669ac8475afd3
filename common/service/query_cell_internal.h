// Private to common/service: parses the cells of a result, which are PostgreSQL's texts. A function that returns bool
// returns false for a text of another type.
#ifndef BULKHEAD_SERVICE_QUERY_CELL_INTERNAL_H
#define BULKHEAD_SERVICE_QUERY_CELL_INTERNAL_H

#include "common/service/query.h"

// Where a cell is in its result.
struct query_place {
  size_t row;
  size_t column;
};

// Parses a bytea in the form that "bytea_output = hex" gives: \x0102.
bool query_cell_bytes(struct slice cell, struct arena *arena, struct slice *bytes);
bool query_cell_bool(struct slice cell, bool *value);
// `cell` must be terminated.
bool query_cell_double(struct slice cell, double *value);
// Parses a text[]. False where an item is NULL, because neither a message nor the code of a service expects one.
bool query_cell_texts(const struct pg_result *result, struct query_place place, struct arena *arena, char ***items,
                      size_t *count);
// Logs that a column does not hold what the query's table says. Returns INTERNAL.
enum status query_cell_refuse(const struct query *query, size_t column);

#endif
