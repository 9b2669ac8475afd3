// Rules of items that the contract cannot say. Pure: no I/O, no state.
#ifndef BULKHEAD_SERVICES_ITEM_ITEM_RULES_H
#define BULKHEAD_SERVICES_ITEM_ITEM_RULES_H

#include <stdbool.h>

#include "common/base/arena.h"
#include "common/base/status.h"
#include "item/v1/item.pb-c.h"
#include "services/item/item_repo.h"

struct item_problem {
  const char *field;  // below the item: "price"
  const char *text;   // NULL when the item is sound
};

// A whole item, as it would be stored: sku and name are there, price and currency go together, no negative price.
struct item_problem item_rules_check(const Item__V1__Item *item);

// Copies from `change` to `item` the fields that `mask` names: all that may change for an absent mask or "*", none for
// an empty one. Fields that the service sets are passed over. Returns the path that names no field of an item, or NULL.
const char *item_rules_merge(Item__V1__Item *item, const Item__V1__Item *change,
                             const Google__Protobuf__FieldMask *mask);

// "createTime desc" and its kin, as the contract lists them; "" is the default.
void item_rules_parse_order(const char *order_by, enum item_order *order, bool *descending);

// Where a page ended, as the opaque text of a page token: it holds only for the query it came from.
const char *item_rules_write_token(const struct item_query *query, const Item__V1__Item *last, struct arena *arena);
// Sets query->after_value, after_id; false when the token is none of ours or belongs to another query.
bool item_rules_read_token(const char *token, struct item_query *query, struct arena *arena);

#endif
