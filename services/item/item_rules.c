#include "services/item/item_rules.h"

#include <stdbool.h>

struct item_problem item_rules_check(const Item__V1__Item *item)
{
  bool price = item->price[0] != '\0';
  bool currency = item->currency[0] != '\0';
  if (price && item->price[0] == '-')
    return (struct item_problem){"price", "must not be negative"};
  if (price && !currency)
    return (struct item_problem){"currency", "is required where a price is given"};
  if (currency && !price)
    return (struct item_problem){"price", "is required where a currency is given"};
  return (struct item_problem){NULL, NULL};
}
