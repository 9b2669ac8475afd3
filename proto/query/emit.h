// Queries as C: <service>/queries.bh.h and .bh.c. The shapes that the tables have are in common/service/query.h and
// query_list.h.
#ifndef BULKHEAD_QUERY_EMIT_H
#define BULKHEAD_QUERY_EMIT_H

#include "proto/query/model.h"

void emit_header(const struct service_source *service, struct arena *arena, struct strbuf *out);
void emit_source(const struct service_source *service, struct arena *arena, struct strbuf *out);

// ---- shared by the two ----

// "item_db_get"
const char *emit_name(const struct query_source *query, struct arena *arena);
// The struct of a row: "Item__V1__Item" or "struct item_db_get_row".
const char *emit_row(const struct query_source *query, struct arena *arena);
// How many members the struct of parameters has; of one, the function takes the member itself.
size_t emit_member_count(const struct query_source *query);
// "const char *id", the declaration of the parameter or of the message that it is a field of.
const char *emit_declaration(const struct parameter *parameter, struct arena *arena);
// The first parameter that uses its argument stands for the argument.
bool emit_is_member(const struct query_source *query, size_t index);
bool emit_is_list(const struct parameter *parameter);
// The function's head, without the semicolon or the body.
void emit_prototype(const struct query_source *query, struct arena *arena, struct strbuf *out);

#endif
