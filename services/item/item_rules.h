// Rules of items that the contract cannot express. The functions are pure: no I/O, no state.
#ifndef BULKHEAD_SERVICES_ITEM_ITEM_RULES_H
#define BULKHEAD_SERVICES_ITEM_ITEM_RULES_H

#include "item/v1/item.pb-c.h"

// A rule that an item breaks.
struct item_problem {
  const char *field;  // the field within the item: "price"
  const char *text;   // what is wrong
};

// How many rules an item can break at once.
#define ITEM_MAX_PROBLEMS 2

// Checks a whole item before it is stored: price and currency go together, and the price is not negative. Fills in
// every rule that the item breaks and returns their number.
size_t item_rules_check(const Item__V1__Item *item, struct item_problem problems[ITEM_MAX_PROBLEMS]);

#endif
