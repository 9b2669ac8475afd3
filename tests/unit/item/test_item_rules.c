// Rules of items that the contract cannot say.
#include <criterion/criterion.h>
#include <string.h>

#include "common/base/compiler.h"
#include "services/item/item_rules.h"

static Item__V1__Item item_of(char *sku, char *name, char *price, char *currency)
{
  Item__V1__Item item = ITEM__V1__ITEM__INIT;
  item.sku = sku;
  item.name = name;
  item.price = price;
  item.currency = currency;
  return item;
}

// ---- soundness ----

Test(item_rules, price_and_currency_go_together_and_no_price_is_negative)
{
  static const struct {
    char *sku, *name, *price, *currency;
    const char *field;  // at fault, NULL for none
  } cases[] = {
      {"S", "N", "", "", NULL},         {"S", "N", "12.50", "EUR", NULL}, {"S", "N", "0", "EUR", NULL},
      {"S", "N", "0.00", "JPY", NULL},  {"S", "N", "1", "", "currency"},  {"S", "N", "", "EUR", "price"},
      {"S", "N", "-1", "EUR", "price"}, {"S", "N", "-1", "", "price"},    {"S", "N", "-0.01", "EUR", "price"},
  };
  for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
    Item__V1__Item item = item_of(cases[i].sku, cases[i].name, cases[i].price, cases[i].currency);
    struct item_problem problem = item_rules_check(&item);
    if (cases[i].field == NULL) {
      cr_expect_null(problem.text, "case %zu: %s %s", i, problem.field, problem.text);
      continue;
    }
    cr_assert_not_null(problem.text, "case %zu", i);
    cr_expect_str_eq(problem.field, cases[i].field, "case %zu", i);
  }
}
