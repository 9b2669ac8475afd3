// Names to things: messages, fields, fragments, parameters. After it every token of every query is known.
#ifndef BULKHEAD_QUERY_RESOLVE_H
#define BULKHEAD_QUERY_RESOLVE_H

#include "proto/query/model.h"

void resolve_service(struct service_source *service, const struct messages *messages, struct findings *findings);

const struct fragment *resolve_fragment(const struct service_source *service, struct slice name);
// The parameter of the query that the token names; NULL for none.
const struct parameter *resolve_parameter(const struct query_source *query, const struct token *token);
// {filters}, {order} and {limit}, in the SQL of a page.
bool resolve_is_page_hole(const struct query_source *query, struct slice name);

#endif
