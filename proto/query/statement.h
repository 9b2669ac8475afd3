// Makes the statements for PostgreSQL from queries: puts $1 for a name, and puts the parts of a page together.
#ifndef BULKHEAD_QUERY_STATEMENT_H
#define BULKHEAD_QUERY_STATEMENT_H

#include "proto/query/model.h"

// Selects one of the statements of a page.
struct page_choice {
  size_t order;
  bool descending;
  bool after;        // a page that begins behind another page's end
  unsigned filters;  // a bit for each filter that is applied
};

// Counts the statements of a query: one, or all choices of a page.
size_t statement_count(const struct query_source *query);
// Returns the choice with this number. The numbers are the indexes of the table of statements that
// common/service/query_list.c uses.
struct page_choice statement_choice(const struct query_source *query, size_t index);
// Makes the statement with this number. A statement for a later page needs the types of the orders (bind_orders).
struct statement statement_make(const struct service_source *service, const struct query_source *query, size_t index,
                                struct arena *arena);
// Finds the place in a .sql file that the byte `at` of the SQL comes from.
const char *statement_source(const struct statement *statement, size_t at);

#endif
