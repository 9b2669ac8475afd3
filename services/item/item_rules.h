// Rules of items that the contract cannot say. Pure: no I/O, no state.
#ifndef BULKHEAD_SERVICES_ITEM_ITEM_RULES_H
#define BULKHEAD_SERVICES_ITEM_ITEM_RULES_H

#include "item/v1/item.pb-c.h"

struct item_problem {
  const char *field;  // below the item: "price"
  const char *text;   // NULL when the item is sound
};

// A whole item, as it would be stored: price and currency go together, no negative price.
struct item_problem item_rules_check(const Item__V1__Item *item);

#endif
