// Resolves the names in queries to messages, fields, fragments and parameters. What cannot be resolved goes to the
// findings.
#ifndef BULKHEAD_QUERY_RESOLVE_H
#define BULKHEAD_QUERY_RESOLVE_H

#include "proto/query/model.h"

void resolve_service(struct service_source *service, const struct messages *messages, struct findings *findings);

const struct fragment *resolve_fragment(const struct service_source *service, struct slice name);
// Finds the parameter that the token names; NULL where the query has no such parameter.
const struct parameter *resolve_parameter(const struct query_source *query, const struct token *token);
// Splits "item.sku" into the argument's name and the field's. The field is empty where the text has no dot.
void resolve_split(struct slice text, struct slice *name, struct slice *member);
// Finds the argument of this name; NULL where the query has none.
struct argument *resolve_argument(struct query_source *query, struct slice name);
// True where the field of a message can be a parameter. A member of a oneof cannot.
bool resolve_can_be_parameter(const struct field *field);
// True for the parts of a page in the SQL of a list: {filters}, {order} and {limit}.
bool resolve_is_page_hole(const struct query_source *query, struct slice name);

#endif
