#include "services/item/item_rules.h"

#include <stdbool.h>

size_t item_rules_check(const Item__V1__Item *item, struct item_problem problems[ITEM_MAX_PROBLEMS])
{
  bool price = item->price[0] != '\0';
  bool currency = item->currency[0] != '\0';
  size_t count = 0;
  if (item->price[0] == '-')
    problems[count++] = (struct item_problem){"price", "must not be negative"};
  if (price && !currency)
    problems[count++] = (struct item_problem){"currency", "is required where a price is given"};
  if (currency && !price)
    problems[count++] = (struct item_problem){"price", "is required where a currency is given"};
  return count;
}
