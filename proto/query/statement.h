// Queries as statements for PostgreSQL: $1 for a name, and the pieces of a page put together.
#ifndef BULKHEAD_QUERY_STATEMENT_H
#define BULKHEAD_QUERY_STATEMENT_H

#include "proto/query/model.h"

// Which of a page's statements.
struct page_choice {
  size_t order;
  bool descending;
  bool after;        // not the first page
  unsigned filters;  // a bit for each that holds
};

// How many statements a query has: one, or all choices of a page.
size_t statement_count(const struct query_source *query);
// The choice with this number: the order of the table that the services index (common/service/query_list.c).
struct page_choice statement_choice(const struct query_source *query, size_t index);
// The orders' types must be known where it is not the first page.
struct statement statement_make(const struct service_source *service, const struct query_source *query, size_t index,
                                struct arena *arena);
// The place in the .sql file of a byte of the SQL.
const char *statement_source(const struct statement *statement, size_t at);

#endif
