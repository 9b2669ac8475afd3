// Private to common/security: what has ended before its tokens have expired. Each entry is kept until then; of too many
// the oldest goes, whose tokens expire first. One thread.
#ifndef BULKHEAD_SECURITY_TOKEN_ENDINGS_INTERNAL_H
#define BULKHEAD_SECURITY_TOKEN_ENDINGS_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/hashtable.h"
#include "common/base/list.h"
#include "common/base/slice.h"
#include "common/security/token.h"

struct token_endings {
  struct hashtable entries;  // by session, or by user
  struct list order;         // as they came
  size_t max_entries;
};

void token_endings_init(struct token_endings *endings, size_t max_entries);
void token_endings_free(struct token_endings *endings);

// Adds the session `key`, where `generation` is 0, else the tokens of the user `key` that are of an earlier generation.
// Entries whose time is over at `now` go.
void token_endings_add(struct token_endings *endings, struct slice key, int64_t generation, int64_t until, int64_t now);
// Whether the session of a token, or its user's generation, has ended.
bool token_endings_hit(const struct token_endings *endings, const struct token_claims *claims);

#endif
