// SQL as far as its parameters and holes: PostgreSQL's quotes and comments are passed over.
#ifndef BULKHEAD_QUERY_TOKEN_H
#define BULKHEAD_QUERY_TOKEN_H

#include "proto/query/model.h"

// Who reads, and where findings go. `query` is NULL for a fragment.
struct token_place {
  struct arena *arena;
  struct findings *findings;
  const struct service_source *service;
  const struct query_source *query;
};

// Reads `text` to its semicolon or its end, without the space around. Returns what follows.
struct slice tokens_read(struct slice text, struct tokens *tokens, const struct token_place *place);

#endif
