// Rules of items that the contract cannot express. The functions are pure: no I/O, no state.
#ifndef BULKHEAD_SERVICES_ITEM_ITEM_RULES_H
#define BULKHEAD_SERVICES_ITEM_ITEM_RULES_H

#include "item/v1/item.pb-c.h"

// The first rule that an item breaks.
struct item_problem {
  const char *field;  // the field within the item: "price"
  const char *text;   // what is wrong; NULL when the item keeps all rules
};

// Checks a whole item before it is stored: price and currency go together, and the price is not negative.
struct item_problem item_rules_check(const Item__V1__Item *item);

#endif
