// Splits SQL into parameters, holes and the text between them. Quoted texts and comments are left as they are.
#ifndef BULKHEAD_QUERY_TOKEN_H
#define BULKHEAD_QUERY_TOKEN_H

#include "proto/query/model.h"

// What is being read, and where findings go. `query` is NULL for a fragment.
struct token_place {
  struct arena *arena;
  struct findings *findings;
  const struct service_source *service;
  const struct query_source *query;
};

// Reads `text` up to its semicolon or its end, without the white space around it. Returns the text that follows.
struct slice tokens_read(struct slice text, struct tokens *tokens, const struct token_place *place);

#endif
