// Writes queries as C: <service>/queries.bh.h and .bh.c. The structs of the tables are declared in
// common/service/query.h and query_list.h.
#ifndef BULKHEAD_QUERY_EMIT_H
#define BULKHEAD_QUERY_EMIT_H

#include "proto/query/model.h"

void emit_header(const struct service_source *service, struct arena *arena, struct strbuf *out);
void emit_source(const struct service_source *service, struct arena *arena, struct strbuf *out);

// ---- shared by header and source ----

// Returns the name of the query's function: "item_db_get".
const char *emit_name(const struct query_source *query, struct arena *arena);
// Returns the type of a row: "Item__V1__Item" or "struct item_db_get_row".
const char *emit_row(const struct query_source *query, struct arena *arena);
// Counts the members of the struct of parameters. A function with one member takes that instead of a struct.
size_t emit_member_count(const struct query_source *query);
bool emit_is_list(const struct parameter *parameter);
// Tells whether the query is a gathered change: its parameters are fields of an array of messages.
bool emit_is_change(const struct query_source *query);
// Appends the head of the query's function, without semicolon and body.
void emit_prototype(const struct query_source *query, struct arena *arena, struct strbuf *out);

#endif
