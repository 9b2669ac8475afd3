// All SQL of the item service. Ids are UUID text in lower case; everything returned lives in the caller's arena. All
// may wait.
#ifndef BULKHEAD_SERVICES_ITEM_ITEM_REPO_H
#define BULKHEAD_SERVICES_ITEM_ITEM_REPO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/status.h"
#include "common/storage/pg.h"
#include "item/v1/item.pb-c.h"

// NOT_FOUND when there is none.
enum status item_repo_get(struct pg *pg, const char *id, struct arena *arena, Item__V1__Item *out) MUST_CHECK;

// All or none, with new ids, in the order given. ALREADY_EXISTS when the owner has one of the skus; INVALID_ARGUMENT
// when PostgreSQL cannot store a value that JSON allows (U+0000 or a number out of range in attributes).
enum status item_repo_insert(struct pg *pg, const char *owner_id, Item__V1__Item *const *items, size_t count,
                             struct arena *arena, Item__V1__Item **out) MUST_CHECK;

// Which of `skus` the owner has: taken[i] says it of skus[i].
enum status item_repo_find_skus(struct pg *pg, const char *owner_id, const char *const *skus, size_t count,
                                struct arena *arena, bool *taken) MUST_CHECK;

// Replaces everything that may change, if the item is still at `etag`; ABORTED when not, or when it is gone. Other
// failures as for insert.
enum status item_repo_update(struct pg *pg, const Item__V1__Item *item, const char *etag, struct arena *arena,
                             Item__V1__Item *out) MUST_CHECK;

// Reads the item, lets `change` alter it and stores it, with the row locked: nobody else's change comes between. Four
// round trips and a connection of its own, for where item_repo_update met others. NOT_FOUND; what `change` returns;
// failures as for insert.
typedef enum status item_change_fn(void *arg, Item__V1__Item *item);
enum status item_repo_change(struct pg *pg, const char *id, item_change_fn *change, void *arg, struct arena *arena,
                             Item__V1__Item *out) MUST_CHECK;

// ABORTED when the item is no more at `etag` (NULL: at any) or gone.
enum status item_repo_delete(struct pg *pg, const char *id, const char *etag, struct arena *arena) MUST_CHECK;

enum item_order { ITEM_ORDER_CREATE_TIME, ITEM_ORDER_UPDATE_TIME, ITEM_ORDER_NAME, ITEM_ORDER_QUANTITY, ITEM_ORDERS };

// A page of a list. NULL members filter nothing.
struct item_query {
  const char *category;
  const char *tag;
  const char *owner_id;
  const char *words;
  enum item_order order;
  bool descending;
  // The page begins after this place; after_id NULL for the first page. The value is microseconds since 1970 for a
  // time.
  const char *after_value;
  const char *after_id;
  size_t limit;
};

// Up to query->limit items.
enum status item_repo_list(struct pg *pg, const struct item_query *query, struct arena *arena, Item__V1__Item **out,
                           size_t *count) MUST_CHECK;
// The item's value in `order`, as after_value has it.
const char *item_repo_order_value(const Item__V1__Item *item, enum item_order order, struct arena *arena);

#endif
